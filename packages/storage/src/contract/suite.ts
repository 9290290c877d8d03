/**
 * The Store contract as tests: everything `store.ts` promises, with etcd's exact semantics. Every implementation runs
 * the same suite, so an API server may be started on any of them.
 */
import { concurrencyContract } from './concurrency.js';
import { compactionContract } from './compaction.js';
import { contractTest, type MakeStore, type StoreTraits } from './harness.js';
import { leaseContract } from './lease.js';
import { lifecycleContract } from './lifecycle.js';
import { modelContract } from './random.js';
import { rangeContract } from './range.js';
import { txnContract } from './txn.js';
import { txnCompareContract } from './txn-compare.js';
import { watchContract } from './watch.js';

export type { MakeStore, StoreTraits } from './harness.js';

/** Registers the suite with node:test. `makeStore` gives a store per test; the suite closes it. */
export function storeContract(name: string, makeStore: MakeStore, traits: StoreTraits = {}): void {
  const test = contractTest(name, makeStore, traits);
  rangeContract(test);
  txnContract(test);
  txnCompareContract(test);
  watchContract(test);
  compactionContract(test);
  leaseContract(test);
  concurrencyContract(test);
  modelContract(test);
  lifecycleContract(test);
}
