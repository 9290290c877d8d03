// Goal: import tokens and wrapped material are parsed by total functions: every truncation and every changed byte is refused, never
// a crash and never other material. Method: whole inputs, cut and flipped at every place.
import assert from 'node:assert/strict';
import { constants, createCipheriv, generateKeyPairSync, publicEncrypt, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { createImportToken, type ImportToken, readImportToken } from './import-token.js';
import { unwrapMaterial } from './import-wrapping.js';
import type { KeyRecord } from './key-record.js';
import { MaterialVault } from './material-vault.js';

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' });
const tokenFor = (algorithm: ImportToken['algorithm']): ImportToken => ({
  algorithm,
  validToMs: 1,
  privateKey: pkcs8,
});

const key: KeyRecord = {
  accountId: '111122223333',
  region: 'eu-central-1',
  keyId: '1234abcd-12ab-34cd-56ef-1234567890ab',
  creationDateMs: 0,
  description: '',
  keySpec: 'SYMMETRIC_DEFAULT',
  keyUsage: 'ENCRYPT_DECRYPT',
  origin: 'EXTERNAL',
  state: { kind: 'PendingImport' },
  policy: '{}',
  tags: [],
  materials: [],
};

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(at) ^ (1 << (at % 8)), at);
  return copy;
}

const oaep = (message: Buffer, oaepHash: string): Buffer =>
  publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash }, message);

function wrapUnder(aesKey: Buffer, material: Buffer): Buffer {
  const cipher = createCipheriv(
    `id-aes${aesKey.length * 8}-wrap-pad`,
    aesKey,
    Buffer.from('a65959a6', 'hex'),
  );
  return Buffer.concat([oaep(aesKey, 'sha256'), cipher.update(material), cipher.final()]);
}

test('a token is read whole, by its own key, and in no other form', () => {
  const vault = new MaterialVault(randomBytes(32), randomBytes);
  const token = createImportToken(vault, key, tokenFor('RSAES_OAEP_SHA_256'));
  assert.ok(token.length <= 6144, 'ImportToken has at most 6144 bytes');
  assert.deepEqual(readImportToken(vault, key, token), tokenFor('RSAES_OAEP_SHA_256'));
  for (let at = 0; at < token.length; at++) {
    assert.equal(readImportToken(vault, key, token.subarray(0, at)), undefined);
    assert.equal(readImportToken(vault, key, flipped(token, at)), undefined);
  }
  for (const other of [
    { region: 'us-east-1' },
    { accountId: '444455556666' },
    { keyId: '4321abcd-12ab-34cd-56ef-1234567890ab' },
  ]) {
    assert.equal(readImportToken(vault, { ...key, ...other }, token), undefined);
  }
  assert.equal(readImportToken(new MaterialVault(randomBytes(32), randomBytes), key, token), undefined);
});

test('wrapped material of any length comes back, and nothing else does', () => {
  const token = tokenFor('RSA_AES_KEY_WRAP_SHA_256');
  for (const length of [1, 7, 8, 9, 32, 48, 2400]) {
    const material = randomBytes(length);
    assert.deepEqual(unwrapMaterial(token, wrapUnder(randomBytes(32), material)), material);
  }
  const wrapped = wrapUnder(randomBytes(32), randomBytes(32));
  for (let at = 0; at < wrapped.length; at++) {
    assert.equal(unwrapMaterial(token, wrapped.subarray(0, at)), undefined);
    assert.equal(unwrapMaterial(token, flipped(wrapped, at)), undefined);
  }
  assert.equal(unwrapMaterial(token, wrapUnder(randomBytes(16), randomBytes(32))), undefined);
  assert.equal(unwrapMaterial(tokenFor('RSA_AES_KEY_WRAP_SHA_1'), wrapped), undefined);
});

test('OAEP material comes back under its own hash only', () => {
  const material = randomBytes(32);
  const wrapped = oaep(material, 'sha1');
  assert.deepEqual(unwrapMaterial(tokenFor('RSAES_OAEP_SHA_1'), wrapped), material);
  assert.equal(unwrapMaterial(tokenFor('RSAES_OAEP_SHA_256'), wrapped), undefined);
  for (let at = 0; at < wrapped.length; at++) {
    assert.equal(unwrapMaterial(tokenFor('RSAES_OAEP_SHA_1'), wrapped.subarray(0, at)), undefined);
    assert.equal(unwrapMaterial(tokenFor('RSAES_OAEP_SHA_1'), flipped(wrapped, at)), undefined);
  }
});
