/** Values of kubernetes-kms under a cluster seed, made here as its sources make them. */
import assert from 'node:assert/strict';
import { createCipheriv, createHmac, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Unwrap } from '../provider.js';
import {
  createAzureTestMaterial,
  failing,
  open,
  seal,
  startAzureTest,
  type AzureTest,
} from '../testing/azure-provider.js';
import { tempFolder } from '../testing/temp-folder.js';

const material = await createAzureTestMaterial();

function sealUnderSeed(seed: Buffer, plaintext: string): Unwrap {
  const info = randomBytes(32);
  const nonce = randomBytes(12);
  const context = Buffer.from('f2b4c1aa-uid');
  const key = createHmac('sha256', seed)
    .update(Buffer.concat([info, Buffer.from([1])]))
    .digest();
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(context);
  const body = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return {
    ciphertext: Buffer.concat([info, nonce, body, cipher.getAuthTag()]),
    annotations: {
      'authenticated-data.azure.akv.io': context,
      'version.azure.akv.io': Buffer.from('2'),
    },
    keyId: '1',
    version: 'v2',
  };
}

/** The seed wrapped by the vault, in the JSON that kubernetes-kms keeps. */
async function seedFile(t: TestContext, { create }: AzureTest, seed: Buffer): Promise<string> {
  const provider = await create();
  const { ciphertext, keyId, annotations } = await provider
    .encrypt(provider.snapshot(), seed, new AbortController().signal)
    .then((wrapped) => ({ ...wrapped, keyId: provider.snapshot().keyId }));
  const path = join(await tempFolder(t), 'seed.json');
  const fields = {
    Ciphertext: ciphertext.toString('base64'),
    KeyID: keyId,
    Annotations: Object.fromEntries(
      Object.entries(annotations).map(([name, value]) => [name, value.toString('base64')]),
    ),
  };
  await writeFile(path, JSON.stringify(fields));
  return path;
}

test('a value under a cluster seed is read when its file is named, and the vault is asked once', async (t) => {
  const azure = await startAzureTest(t, material);
  const seed = randomBytes(64);
  const value = sealUnderSeed(seed, 'dek');
  const provider = await azure.create({ encryptedClusterSeedFile: await seedFile(t, azure, seed) });
  assert.ok(provider.recognizes(value));
  assert.equal(await open(provider, value), 'dek');
  assert.equal(await open(provider, sealUnderSeed(seed, 'another')), 'another');
  assert.equal(azure.vault.calls.filter(({ path }) => path.endsWith('/decrypt')).length, 1);
  assert.equal(
    await open(provider, await seal(provider, 'own')),
    'own',
    'what is written lies under the key itself',
  );
});

test('every truncation and flipped bit, another key id and another context are corrupt', async (t) => {
  const azure = await startAzureTest(t, material);
  const seed = randomBytes(64);
  const value = sealUnderSeed(seed, 'dek');
  const provider = await azure.create({ encryptedClusterSeedFile: await seedFile(t, azure, seed) });
  const { ciphertext, annotations } = value;
  for (let length = 0; length < ciphertext.length; length++) {
    await assert.rejects(
      open(provider, { ...value, ciphertext: ciphertext.subarray(0, length) }),
      failing('corrupt'),
    );
  }
  for (let bit = 0; bit < ciphertext.length * 8; bit++) {
    const flipped = Buffer.from(ciphertext);
    flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    await assert.rejects(open(provider, { ...value, ciphertext: flipped }), failing('corrupt'));
  }
  await assert.rejects(open(provider, { ...value, keyId: '2' }), failing('corrupt'));
  for (const context of ['', 'other']) {
    const changed = { ...annotations, 'authenticated-data.azure.akv.io': Buffer.from(context) };
    await assert.rejects(open(provider, { ...value, annotations: changed }), failing('corrupt'));
  }
});

test('without the file, or with one that is none, the value is refused with what to do', async (t) => {
  const { create } = await startAzureTest(t, material);
  const value = sealUnderSeed(randomBytes(64), 'dek');
  await assert.rejects(open(await create(), value), failing('corrupt', /name its file/));
  const path = join(await tempFolder(t), 'seed.json');
  for (const text of ['', 'never-shown', '[]', '{}', '{"Ciphertext":"AA=="}']) {
    await writeFile(path, text);
    const provider = await create({ encryptedClusterSeedFile: path });
    await assert.rejects(open(provider, value), failing('user-induced', /no encrypted cluster seed/));
  }
  const absent = await create({ encryptedClusterSeedFile: `${path}.absent` });
  await assert.rejects(open(absent, value), failing('user-induced', /cannot be read/));
});
