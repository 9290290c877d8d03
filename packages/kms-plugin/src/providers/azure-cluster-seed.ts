/**
 * Values that kubernetes-kms sealed under a cluster seed: a secret of its own, which lies in a file wrapped by Key Vault.
 * They are read, never written: docs/formats/kms-plugin-azure.md.
 */
import { createDecipheriv, createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { KmsPluginError, ProviderError, unopenable } from '../errors.js';
import type { Unwrap } from '../provider.js';
import { versionAnnotation } from './azure-ciphertext.js';

const formatVersion = '2';
const seedKeyId = '1';
const contextAnnotation = 'authenticated-data.azure.akv.io';
const infoBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;
const seedMinBytes = 32;
const fileMaxBytes = 64 * 1024;

export function isUnderClusterSeed({ annotations }: Unwrap): boolean {
  return annotations[versionAnnotation]?.toString('latin1') === formatVersion;
}

/**
 * The file that kubernetes-kms makes: an Encrypt answer as Go writes it in JSON.
 *
 * @throws KmsPluginError `credentials_invalid`
 */
export async function readWrappedSeed(path: string): Promise<Unwrap> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new KmsPluginError(
      'credentials_invalid',
      `The cluster seed file ${path} cannot be read. Check the path and its permissions.`,
      cause,
    );
  }
  const fields = text.length <= fileMaxBytes ? parseObject(text) : undefined;
  const ciphertext = fields?.['Ciphertext'];
  const keyId = fields?.['KeyID'];
  const annotations = fields?.['Annotations'];
  if (typeof ciphertext !== 'string' || typeof keyId !== 'string' || !isObject(annotations)) {
    throw new KmsPluginError(
      'credentials_invalid',
      `The file ${path} is no encrypted cluster seed of kubernetes-kms.`,
    );
  }
  return {
    ciphertext: Buffer.from(ciphertext, 'base64'),
    keyId,
    annotations: Object.fromEntries(
      Object.entries(annotations).map(([name, value]) => [name, Buffer.from(String(value), 'base64')]),
    ),
    version: 'v2',
  };
}

/**
 * info 32 ‖ nonce 12 ‖ ciphertext ‖ tag 16, AES-256-GCM under HKDF-Expand(SHA-256, seed, info, 32) (RFC 5869 §2.3, one block).
 *
 * @throws ProviderError class `corrupt`
 */
export function openUnderClusterSeed(seed: Buffer, { ciphertext, keyId, annotations }: Unwrap): Buffer {
  const context = annotations[contextAnnotation];
  if (keyId !== seedKeyId || context === undefined || context.length === 0) {
    throw new ProviderError('annotations of another format', unopenable);
  }
  const bodyStart = infoBytes + nonceBytes;
  if (ciphertext.length < bodyStart + tagBytes) throw new ProviderError('ciphertext too short', unopenable);
  if (seed.length < seedMinBytes) throw new ProviderError('cluster seed too short', unopenable);
  const info = ciphertext.subarray(0, infoBytes);
  const key = createHmac('sha256', seed)
    .update(info)
    .update(Buffer.from([1]))
    .digest();
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, ciphertext.subarray(infoBytes, bodyStart))
      .setAAD(context)
      .setAuthTag(ciphertext.subarray(-tagBytes));
    return Buffer.concat([decipher.update(ciphertext.subarray(bodyStart, -tagBytes)), decipher.final()]);
  } catch {
    throw new ProviderError('authentication failed', unopenable);
  } finally {
    key.fill(0);
  }
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return isObject(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
