/** One signing key for all services of a test process: making RSA keys is the slowest thing they would do. */
import type { KeyObject } from 'node:crypto';
import { type AuditSigner, generateSigningKey, signerOf } from '../audit/signing-key.js';

let key: Promise<KeyObject> | undefined;

export function testSigningKey(): Promise<KeyObject> {
  return (key ??= generateSigningKey());
}

export async function testSigner(): Promise<AuditSigner> {
  return signerOf(await testSigningKey());
}
