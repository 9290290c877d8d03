/** Killed at any moment, the store keeps every write it acknowledged, and nothing of one it did not finish. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { WatchRecorder } from '../contract/harness.js';
import { prefixRangeEnd } from '../store.js';
import { openLmdbStore } from './open.js';
import { temporaryDirectory } from './testing/temporary-directory.js';
import type { AcknowledgedLine } from './testing/writer-process.js';

const WRITER = fileURLToPath(new URL('testing/writer-process.js', import.meta.url));
const ROUNDS = 5;
const WRITERS = 16;

test('kill -9 while many write: every acknowledged write is there, revisions have no gaps', async (t) => {
  const seed = Number(process.env['WAXSEAL_SEED'] ?? Date.now() % 2 ** 31);
  t.diagnostic(`seed ${seed} (WAXSEAL_SEED=${seed} repeats it)`);
  const random = lehmer(seed);
  const path = await temporaryDirectory(t);
  const acknowledged = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round++) {
    const before = acknowledged.size;
    await writeUntilKilled(path, round, Math.floor(random() * 400), acknowledged);
    t.diagnostic(`round ${round}: ${acknowledged.size - before} writes acknowledged`);
    await checkStore(path, acknowledged);
  }
});

/** Kills the writer once it has acknowledged `count` writes; returns when it is gone and its pipe is empty. */
async function writeUntilKilled(
  path: string,
  round: number,
  count: number,
  acknowledged: Map<string, number>,
): Promise<void> {
  const child = spawn(process.execPath, [WRITER, path, String(WRITERS), String(round)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let ready = false;
  let seen = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'ready') {
      ready = true;
    } else {
      const [name, revision] = acknowledgement(line as AcknowledgedLine);
      acknowledged.set(name, revision);
      seen++;
    }
    if (ready && seen >= count) child.kill('SIGKILL');
  }
  assert.ok(ready && seen >= count, 'the writer ended by itself');
}

function acknowledgement(line: AcknowledgedLine): [name: string, revision: number] {
  const [name = '', revision] = line.split(' ');
  return [name, Number(revision)];
}

async function checkStore(path: string, acknowledged: ReadonlyMap<string, number>): Promise<void> {
  const store = await openLmdbStore({ path });
  try {
    const { revision } = await store.status();
    for (const [name, itsRevision] of acknowledged) {
      const { kv } = await store.get(Buffer.from(name));
      assert.equal(kv?.modRevision, itsRevision, name);
      assert.deepEqual(kv?.value, Buffer.alloc(300 + name.length, name));
      assert.ok(itsRevision <= revision);
    }
    const recorder = new WatchRecorder();
    store.watch({ key: Buffer.from([0]), rangeEnd: Buffer.from([0]), startRevision: 2 }, recorder);
    await recorder.until(({ calls }) => calls.at(-1)?.revision === revision);
    // Each transaction made two changes: revisions 2, 2, 3, 3, and so on, none missing and none halved.
    assert.deepEqual(
      recorder.events.map((event) => event.kv.modRevision),
      Array.from({ length: 2 * (revision - 1) }, (_, i) => 2 + Math.floor(i / 2)),
    );
    const last = Buffer.from('last-');
    for (const kv of (await store.range({ key: last, rangeEnd: prefixRangeEnd(last) })).kvs) {
      const named = await store.get(kv.value);
      assert.equal(named.kv?.createRevision, kv.modRevision, 'both changes of a transaction or none');
    }
  } finally {
    await store.close();
  }
}

/** Numbers in [0, 1) from a seed. */
function lehmer(seed: number): () => number {
  let state = (seed % 2147483646) + 1;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}
