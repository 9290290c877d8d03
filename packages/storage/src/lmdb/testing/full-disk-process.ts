/**
 * A process whose files may not grow beyond a limit, as on a full disk. `node full-disk-process.js DIRECTORY`
 *
 * Writes until that fails, then reads, then lifts its limit and writes again. Prints what happened as one JSON line.
 */
import { spawnSync } from 'node:child_process';
import { StoreError } from '../../store.js';
import { openLmdbStore } from '../open.js';

/** The line it prints. */
export interface FullDiskOutcome {
  /** Of the first write that was refused. */
  readonly code: string;
  readonly message: string;
  readonly acknowledged: number;
  readonly acknowledgedTogether: number;
  readonly rejectedTogether: number;
  readonly readable: number;
  readonly firstBytes: number | undefined;
  readonly revision: number;
  /** Exit status of prlimit. */
  readonly lifted: number | null;
  /** Revision of the write after the limit was lifted. */
  readonly next: number;
}

const MOST_WRITES = 10_000;

const [path = ''] = process.argv.slice(2);
const store = await openLmdbStore({ path });
const put = async (name: string): Promise<number> => {
  const op = { kind: 'put', key: Buffer.from(name), value: Buffer.alloc(4000, name) } as const;
  return (await store.txn({ compare: [], success: [op], failure: [] })).revision;
};

let acknowledged = 0;
let failure: unknown;
while (failure === undefined && acknowledged < MOST_WRITES) {
  try {
    await put(`k${acknowledged}`);
    acknowledged++;
  } catch (error) {
    failure = error;
  }
}
const together = await Promise.allSettled(Array.from({ length: 200 }, (_, i) => put(`more${i}`)));
const readable = (await store.range({ key: Buffer.from('k'), rangeEnd: Buffer.from('l') })).count;
const firstBytes = (await store.get(Buffer.from('k0'))).kv?.value.length;
const { revision } = await store.status();

const lifted = spawnSync('/usr/bin/prlimit', ['--pid', String(process.pid), '--fsize=unlimited']).status;
const next = await put('after');
await store.close();
const outcome: FullDiskOutcome = {
  code: failure instanceof StoreError ? failure.code : String(failure),
  message: failure instanceof Error ? failure.message : '',
  acknowledged,
  rejectedTogether: together.filter(({ status }) => status === 'rejected').length,
  acknowledgedTogether: together.filter(({ status }) => status === 'fulfilled').length,
  readable,
  firstBytes,
  revision,
  lifted,
  next,
};
console.log(JSON.stringify(outcome));
