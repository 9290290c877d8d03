/** Status and the end of a store. */
import assert from 'node:assert/strict';
import { errorCode, WatchRecorder, type ContractTest } from './harness.js';

export function lifecycleContract(test: ContractTest): void {
  test('status tells revision, compaction, size and version', async ({ put, store }) => {
    await put('a', '1');
    const revision = await put('a', '2');
    const status = await store.status();
    assert.equal(status.revision, revision);
    assert.ok(status.sizeBytes > 0);
    assert.ok(status.sizeInUseBytes > 0 && status.sizeInUseBytes <= status.sizeBytes);
    assert.match(status.version, /^(lmdb|etcd) \d+\.\d+\.\d+/);
  });

  test('a closed store ends its watches and refuses work', async ({ put, store, key, all }) => {
    await put('a');
    const recorder = new WatchRecorder();
    await store.watch(all, recorder).started;
    await store.close();
    await recorder.until(({ ends }) => ends.length > 0);
    assert.deepEqual(recorder.ends, [{ kind: 'closed' }]);
    await assert.rejects(store.get(key('a')), errorCode('closed'));
    await assert.rejects(store.range(all), errorCode('closed'));
    await assert.rejects(put('a'), errorCode('closed'));
    await store.close();
  });

  test('writes under way when the store closes are answered', async ({ put, store }) => {
    const writes = Array.from({ length: 20 }, (_, i) => put(`k${i}`));
    const closing = store.close();
    const outcomes = await Promise.allSettled(writes);
    await closing;
    assert.ok(
      outcomes.every((outcome) => outcome.status === 'fulfilled' || errorCode('closed')(outcome.reason)),
    );
  });
}
