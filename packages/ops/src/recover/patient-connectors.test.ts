/** Goal: a lost KMS is not asked once per value. Method: calls are counted. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KmsConnectors } from '@waxseal/encryption-config';
import { patientConnectors } from './patient-connectors.js';

function counting(code: string | undefined): {
  readonly connectors: KmsConnectors;
  readonly calls: () => number;
} {
  let calls = 0;
  const decrypt = (): Promise<Buffer> => {
    calls++;
    return code === undefined
      ? Promise.resolve(Buffer.from('dek'))
      : Promise.reject(Object.assign(new Error(code), { code }));
  };
  const unused = (): Promise<never> => Promise.reject(new Error('not asked'));
  return {
    calls: () => calls,
    connectors: {
      connectKmsV1: () => ({ version: unused, encrypt: unused, decrypt, close: () => undefined }),
      connectKmsV2: () => ({ status: unused, encrypt: unused, decrypt, close: () => undefined }),
    },
  };
}

async function callsFor(code: string | undefined, names: readonly string[]): Promise<number> {
  const { connectors, calls } = counting(code);
  const client = patientConnectors(connectors).connectKmsV2({ endpoint: 'unix:///x', timeoutMs: 1 });
  for (const name of names) {
    const answer = client.decrypt('uid', { ciphertext: Buffer.from(name), keyId: 'k', annotations: {} });
    if (code === undefined) await answer;
    else await assert.rejects(answer, { code });
  }
  return calls();
}

test('a DEK source that failed is not asked for again', async () => {
  assert.equal(await callsFor('permission_denied', ['a', 'a', 'b', 'a', 'b']), 2);
});

test('a plugin that does not answer is given up, one that refuses is not', async () => {
  assert.equal(await callsFor('unavailable', ['a', 'b', 'c', 'd', 'e']), 3);
  assert.equal(await callsFor('permission_denied', ['a', 'b', 'c', 'd', 'e']), 5);
  assert.equal(await callsFor(undefined, ['a', 'a']), 2);
});
