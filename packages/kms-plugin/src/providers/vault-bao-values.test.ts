/** Values of bao-kms-provider: the bytes they are bound to, and that they open. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { ProviderError } from '../errors.js';
import type { Unwrap } from '../provider.js';
import { transitEncrypt } from '../testing/vault-transit-engine.js';
import { startTestVault, testKeyName } from '../testing/vault-transit-server.js';
import { baoAssociatedData, isBaoValue } from './vault-bao-values.js';
import { createVaultProvider } from './vault.js';

// The golden example of that plugin's own tests (test/testdata/key-aad/golden-v1.json).
const names = { providerName: 'openbao-kms-workload-a', clusterId: 'workload-a', instanceId: 'bao-prod-a' };
const mountHash = 'rXiCr_lOjsbykm0mDHAvUcVxQl_XcVnT61MesgcPnzc';
const keyHash = 'SwWS38Td_yyFNHaECzzHQP3CHFg60mklwtqYUwkx_IA';
const keyIdHash = 'qCXYChOIPSWs7scJIduEDiNOYvEUJtFS1Rsbz1eAWY4';
const keyId = 'obk2.ig7zS9_yvQrdlcvWgJUhA5q_fQYupc5jRX5MzhAMQSk';

function value(version: number, more: Readonly<Record<string, string>> = {}): Unwrap {
  const fields = {
    provider: 'openbao-transit',
    'key-id-hash': keyIdHash,
    'transit-key-version': String(version),
    'transit-mount-hash': mountHash,
    'transit-key-hash': keyHash,
    'plugin-version': 'v0.1.0',
    'aad-version': 'v1',
    ...more,
  };
  const annotations = Object.fromEntries(
    Object.entries(fields).map(([name, text]) => [`${name}.kms.openbao.org`, Buffer.from(text)]),
  );
  return { ciphertext: Buffer.alloc(0), annotations, keyId, version: 'v2' };
}

test('the golden example', () => {
  assert.ok(isBaoValue(value(3)));
  const bound = Buffer.from(baoAssociatedData(value(3), names, undefined, 3), 'base64').toString();
  assert.equal(
    bound,
    `{"aad_version":"v1","purpose":"kubernetes-etcd-kms-v2","provider":"openbao-transit","provider_name":"openbao-kms-workload-a","cluster_id_hash":"aJ87hdnMZbDZpJ86CnErao3FRzUhv5o8bqc5tCvFGyY","openbao_instance_hash":"D1mX5YANszQPDTOv6P3ATTTa_2Nc2_DQtRJO0ArNx1g","transit_mount_hash":"${mountHash}","transit_key_hash":"${keyHash}","key_id_hash":"${keyIdHash}","key_version":"3"}`,
  );
});

test('a namespace stands between instance and mount; Go’s escapes are kept', () => {
  const bound = Buffer.from(
    baoAssociatedData(value(3), { ...names, providerName: 'a<b>&c' }, 'team', 3),
    'base64',
  ).toString();
  assert.match(bound, /"provider_name":"a\\u003cb\\u003e\\u0026c"/);
  const hash = createHash('sha256').update('team').digest('base64url');
  assert.ok(bound.includes(`Nx1g","openbao_namespace_hash":"${hash}","transit_mount_hash"`));
});

test('altered annotations are refused before anything is sent', () => {
  const altered: readonly Unwrap[] = [
    value(3, { 'aad-version': 'v2' }),
    value(4),
    value(3, { 'transit-mount-hash': 'short' }),
    value(3, { 'transit-key-hash': `${'a'.repeat(42)}"` }),
    { ...value(3), keyId: undefined },
  ];
  for (const one of altered) {
    assert.throws(
      () => baoAssociatedData(one, names, undefined, 3),
      (error) => error instanceof ProviderError && error.failure.class === 'corrupt',
    );
  }
});

test('such a value opens where the names are configured, and else says what is missing', async (t) => {
  const vault = await startTestVault(t);
  vault.addToken('hvs.token');
  const key = vault.keys.get(testKeyName);
  assert.ok(key !== undefined);
  const sealed = transitEncrypt(key, {
    plaintext: Buffer.from('dek').toString('base64'),
    associated_data: baoAssociatedData(value(1), names, undefined, 1),
  });
  const stored = { ...value(1), ciphertext: Buffer.from(String(sealed['ciphertext'])) };
  const options = {
    address: vault.address,
    keyName: testKeyName,
    auth: { kind: 'token', token: 'hvs.token' },
  } as const;
  const provider = createVaultProvider({ ...options, baoKmsProvider: names });
  t.after(() => provider.close());
  const { signal } = new AbortController();
  assert.equal((await provider.decrypt(stored, signal)).toString(), 'dek');
  const unnamed = createVaultProvider(options);
  t.after(() => unnamed.close());
  await assert.rejects(unnamed.decrypt(stored, signal), /baoKmsProvider/);
});
