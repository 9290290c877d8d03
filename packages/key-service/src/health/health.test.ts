// Goal: /livez, /readyz and /metrics say what is true. Method: a whole service, its store broken and mended.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CreateKeyCommand, DescribeKeyCommand, ListKeysCommand } from '@aws-sdk/client-kms';
import { createMemoryStore } from '../testing/memory-store.js';
import { startTestService } from '../testing/harness.js';

test('the health port answers', async (t) => {
  const store = createMemoryStore();
  const get = store.get.bind(store);
  const kms = await startTestService({ store, health: { port: 0 } });
  t.after(() => kms.close());
  const ask = async (path: string): Promise<{ status: number; body: string }> => {
    const response = await fetch(`${kms.service.healthEndpoint}${path}`);
    return { status: response.status, body: await response.text() };
  };
  assert.deepEqual(await ask('/livez'), { status: 200, body: 'ok\n' });
  assert.deepEqual(await ask('/readyz'), { status: 200, body: '[+]store ok\n[+]audit ok\n' });
  assert.equal((await ask('/nothing')).status, 404);

  await kms.client().send(new CreateKeyCommand({}));
  await kms.client().send(new ListKeysCommand({}));
  await kms
    .client()
    .send(new DescribeKeyCommand({ KeyId: 'alias/none' }))
    .catch(() => undefined);
  const { body } = await ask('/metrics');
  assert.match(body, /^waxseal_kms_requests_total\{operation="CreateKey",error=""\} 1$/m);
  assert.match(body, /^waxseal_kms_requests_total\{operation="DescribeKey",error="NotFoundException"\} 1$/m);
  assert.match(body, /^waxseal_kms_keys 1$/m);
  assert.match(body, /^waxseal_kms_audit_writable 1$/m);
  assert.match(body, /^waxseal_kms_aws_keys_usd_per_month 1$/m);
  assert.match(body, /^waxseal_kms_aws_requests_usd 0$/m);

  store.get = () => Promise.reject(new Error('secret detail'));
  assert.deepEqual(await ask('/readyz'), {
    status: 503,
    body: '[-]store failed: it does not answer\n[+]audit ok\n',
  });
  assert.equal((await ask('/livez')).status, 200);
  store.get = get;
  assert.equal((await ask('/readyz')).status, 200);
});
