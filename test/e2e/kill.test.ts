/**
 * Goal: what was acknowledged is never lost. Method: kill -9 in the middle of a thousand concurrent creates, start
 * again on the same data, read every acknowledged object back.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiOf, secret } from '../support/api.js';
import { startUp, temporaryFolder } from '../support/waxseal.js';

const creates = 1000;

test('kill -9 during a thousand concurrent creates loses nothing acknowledged', async (t) => {
  const dataDir = await temporaryFolder(t);
  const seed = Math.floor(Math.random() * 1000);
  t.diagnostic(`killed after ${seed} acknowledged creates`);
  const first = await startUp(dataDir);
  const api = apiOf(first.ready, 200);
  const acknowledged = new Map<string, string>();
  let killed: Promise<unknown> | undefined;
  await Promise.all(
    Array.from({ length: creates }, async (_, i) => {
      const name = `s-${i}`;
      const value = `value-${i}`;
      const answer = await api
        .call('POST', '/api/v1/namespaces/default/secrets', secret(name, { value }))
        .catch(() => undefined);
      if (answer?.status !== 201) return;
      acknowledged.set(name, value);
      if (acknowledged.size > seed) killed ??= first.stop('SIGKILL');
    }),
  );
  api.close();
  await (killed ??= first.stop('SIGKILL'));
  assert.ok(acknowledged.size > 0, 'nothing was acknowledged before the kill');

  const second = await startUp(dataDir);
  t.after(() => second.stop());
  const reader = apiOf(second.ready);
  t.after(() => reader.close());
  for (const [name, value] of acknowledged) {
    const answer = await reader.call('GET', `/api/v1/namespaces/default/secrets/${name}`);
    assert.equal(answer.status, 200, `${name}: ${answer.text}`);
    const object = JSON.parse(answer.text) as { data: { value: string } };
    assert.equal(Buffer.from(object.data.value, 'base64').toString(), value);
  }
  const list = await reader.call('GET', '/api/v1/namespaces/default/secrets?limit=5000');
  assert.equal(list.status, 200, 'every stored object, acknowledged or not, is readable');
});
