// Goal: history and snapshots of a real etcd are read as they are: what was overwritten needs its key until it is compacted, and in a snapshot
// taken before for ever. Method: etcd and its own snapshots.
import assert from 'node:assert/strict';
import { mkdtemp, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openEtcdStore, type Store } from '@waxseal/storage';
import { openEtcdSource } from '../sources/etcd-source.js';
import { openSnapshotSource } from '../sources/snapshot-source.js';
import { startEtcd, type RunningEtcd } from '../testing/etcd.js';
import { parseKeyReference } from './key-reference.js';
import { mayRetire, type RetireReport } from './retire.js';

let etcd: RunningEtcd;
let store: Store;
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retire-etcd-'));
  etcd = await startEtcd();
  store = await openEtcdStore({
    endpoints: [etcd.endpoint],
    dialTimeoutMs: 10_000,
    requestTimeoutMs: 10_000,
  });
});
after(async () => {
  await store.close();
  await etcd.stop();
  await rm(folder, { recursive: true });
});

async function ask(ledgerFile?: string): Promise<RetireReport> {
  const source = await openEtcdSource({ endpoints: [etcd.endpoint] });
  try {
    return await mayRetire({
      key: parseKeyReference('aescbc:key1'),
      prefix: '/registry/',
      source,
      ...(ledgerFile === undefined
        ? {}
        : { ledgerFile, backups: { directory: folder, open: openSnapshotSource } }),
    });
  } finally {
    await source.close();
  }
}

async function put(name: string, value: string): Promise<void> {
  const key = Buffer.from(`/registry/secrets/default/${name}`);
  await store.txn({ compare: [], success: [{ kind: 'put', key, value: Buffer.from(value) }], failure: [] });
}

const places = ({ needed }: RetireReport): readonly string[] =>
  needed.map(({ place, count }) => `${place} ${count}`);

test('live, then history, then only the snapshot, then nothing', async () => {
  for (let i = 0; i < 20; i++) await put(`s${i}`, `k8s:enc:aescbc:v1:key1:${i}`);
  const ledgerFile = join(folder, '.ledger.jsonl');
  await etcd.saveSnapshot(join(folder, 'old.db'));
  assert.deepEqual(places(await ask()), ['live 20']);

  for (let i = 0; i < 19; i++) await put(`s${i}`, `k8s:enc:secretbox:v1:key2:${i}`);
  const key = Buffer.from('/registry/secrets/default/s19');
  await store.txn({ compare: [], success: [{ kind: 'delete', key }], failure: [] });
  const overwritten = await ask(ledgerFile);
  assert.deepEqual(places(overwritten), ['history 20', 'backup 20'], 'a deleted object is history too');

  await store.compact((await store.status()).revision);
  assert.equal((await ask()).mayDelete, true);
  const known = await ask(ledgerFile);
  assert.deepEqual(places(known), ['backup 20']);
  assert.deepEqual(known.backups, { checked: 1, fromLedger: 1 });

  await etcd.saveSnapshot(join(folder, 'new.db'));
  await rm(join(folder, 'old.db'));
  assert.equal((await ask(ledgerFile)).mayDelete, true);
  await truncate(join(folder, 'new.db'), 8192);
  assert.deepEqual(places(await ask(ledgerFile)), ['unreadable 0'], 'a snapshot cut short says nothing');
});
