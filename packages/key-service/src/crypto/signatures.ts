/**
 * Sign and Verify: RSASSA-PSS and PKCS#1 v1.5 (RFC 8017 §8), ECDSA and Ed25519 (FIPS 186-5), ML-DSA (FIPS 204).
 *
 * PSS salts are as long as the digest; ECDSA signatures are DER (RFC 3279 §2.2.3), Ed25519's are 64 bytes (RFC 8032).
 */
import {
  constants,
  privateEncrypt,
  publicDecrypt,
  sign as signMessage,
  verify as verifyMessage,
} from 'node:crypto';
import { ed25519ph } from '@noble/curves/ed25519.js';
import type { SigningAlgorithm } from '../keys/key-specs.js';
import { signDigest, verifyDigest } from './ecdsa-digest.js';
import { encodePss, type PssHash, verifyPss } from './emsa-pss.js';
import { signMlDsa, verifyMlDsa } from './ml-dsa.js';
import type { Ed25519Key, PrivateKey, RsaKey } from './private-key.js';

/** How the message is given: itself, its digest, or ML-DSA's representative μ. */
export type MessageType = 'RAW' | 'DIGEST' | 'EXTERNAL_MU';

type Scheme = 'pss' | 'pkcs1' | 'ecdsa' | 'ed25519' | 'ed25519ph' | 'ml-dsa';

interface AlgorithmRow {
  readonly scheme: Scheme;
  readonly hash: PssHash;
}

const ALGORITHMS: Readonly<Record<SigningAlgorithm, AlgorithmRow>> = {
  RSASSA_PSS_SHA_256: { scheme: 'pss', hash: 'sha256' },
  RSASSA_PSS_SHA_384: { scheme: 'pss', hash: 'sha384' },
  RSASSA_PSS_SHA_512: { scheme: 'pss', hash: 'sha512' },
  RSASSA_PKCS1_V1_5_SHA_256: { scheme: 'pkcs1', hash: 'sha256' },
  RSASSA_PKCS1_V1_5_SHA_384: { scheme: 'pkcs1', hash: 'sha384' },
  RSASSA_PKCS1_V1_5_SHA_512: { scheme: 'pkcs1', hash: 'sha512' },
  ECDSA_SHA_256: { scheme: 'ecdsa', hash: 'sha256' },
  ECDSA_SHA_384: { scheme: 'ecdsa', hash: 'sha384' },
  ECDSA_SHA_512: { scheme: 'ecdsa', hash: 'sha512' },
  ED25519_SHA_512: { scheme: 'ed25519', hash: 'sha512' },
  ED25519_PH_SHA_512: { scheme: 'ed25519ph', hash: 'sha512' },
  ML_DSA_SHAKE_256: { scheme: 'ml-dsa', hash: 'sha512' },
};

const DIGEST_BYTES: Readonly<Record<PssHash, number>> = { sha256: 32, sha384: 48, sha512: 64 };

/** RFC 8017 §9.2, note 1: DigestInfo up to the digest. */
const DIGEST_INFO: Readonly<Record<PssHash, Buffer>> = {
  sha256: Buffer.from('3031300d060960864801650304020105000420', 'hex'),
  sha384: Buffer.from('3041300d060960864801650304020205000430', 'hex'),
  sha512: Buffer.from('3051300d060960864801650304020305000440', 'hex'),
};

const { RSA_PKCS1_PSS_PADDING, RSA_PKCS1_PADDING, RSA_NO_PADDING, RSA_PSS_SALTLEN_DIGEST } = constants;

/** Bytes a digest for this algorithm has. Not for ML-DSA, which takes none. */
export function digestBytesOf(algorithm: SigningAlgorithm): number {
  return DIGEST_BYTES[ALGORITHMS[algorithm].hash];
}

/** A request to sign or verify that has passed the checks of operations/sign.ts: the algorithm is one of the key's spec. */
export interface SignedMessage {
  readonly algorithm: SigningAlgorithm;
  readonly type: MessageType;
  /** With DIGEST exactly digestBytesOf(algorithm) bytes, with EXTERNAL_MU exactly 64. */
  readonly bytes: Buffer;
}

/** @throws when the algorithm is not one of the key's spec: a fault of the caller */
export function sign(
  key: PrivateKey,
  { algorithm, type, bytes }: SignedMessage,
  randomBytes: (size: number) => Buffer,
): Promise<Buffer> | Buffer {
  const { scheme, hash } = ALGORITHMS[algorithm];
  const digested = type === 'DIGEST';
  if (key.kind === 'rsa' && (scheme === 'pss' || scheme === 'pkcs1')) {
    return digested
      ? signRsaDigest(key, scheme, hash, bytes, randomBytes)
      : signRsa(key, scheme, hash, bytes);
  }
  if (key.kind === 'ec' && scheme === 'ecdsa') {
    return digested ? signDigest(key, bytes, randomBytes(32)) : signMessage(hash, bytes, key.privateKey);
  }
  if (key.kind === 'ed25519' && scheme === 'ed25519') return signMessage(null, bytes, key.privateKey);
  if (key.kind === 'ed25519' && scheme === 'ed25519ph') return signEd25519ph(key, bytes);
  if (key.kind === 'ml-dsa' && scheme === 'ml-dsa') {
    return signMlDsa(key, bytes, type === 'EXTERNAL_MU', randomBytes(32));
  }
  throw new TypeError(`${algorithm} does not work with a key of spec ${key.spec}.`);
}

/** Total: whatever the signature is, the answer is yes or no. */
export function verify(
  key: PrivateKey,
  { algorithm, type, bytes }: SignedMessage,
  signature: Buffer,
): boolean {
  const { scheme, hash } = ALGORITHMS[algorithm];
  const digested = type === 'DIGEST';
  if (key.kind === 'rsa' && (scheme === 'pss' || scheme === 'pkcs1')) {
    return digested
      ? verifyRsaDigest(key, scheme, hash, bytes, signature)
      : verifyMessage(hash, bytes, { key: key.publicKey, ...rsaPadding(scheme) }, signature);
  }
  if (key.kind === 'ec' && scheme === 'ecdsa') {
    return digested
      ? verifyDigest(key, bytes, signature)
      : verifyMessage(hash, bytes, key.publicKey, signature);
  }
  if (key.kind === 'ed25519' && scheme === 'ed25519')
    return verifyMessage(null, bytes, key.publicKey, signature);
  if (key.kind === 'ed25519' && scheme === 'ed25519ph') return verifyEd25519ph(key, bytes, signature);
  return key.kind === 'ml-dsa' && scheme === 'ml-dsa'
    ? verifyMlDsa(key, bytes, type === 'EXTERNAL_MU', signature)
    : false;
}

function rsaPadding(scheme: 'pss' | 'pkcs1'): { readonly padding: number; readonly saltLength?: number } {
  return scheme === 'pss'
    ? { padding: RSA_PKCS1_PSS_PADDING, saltLength: RSA_PSS_SALTLEN_DIGEST }
    : { padding: RSA_PKCS1_PADDING };
}

/** The slow half of RSA: on libuv's threads. */
function signRsa(
  { privateKey }: RsaKey,
  scheme: 'pss' | 'pkcs1',
  hash: PssHash,
  message: Buffer,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    signMessage(hash, message, { key: privateKey, ...rsaPadding(scheme) }, (error, signature) =>
      error === null ? resolve(signature) : reject(error),
    );
  });
}

function signRsaDigest(
  { privateKey, modulusBytes }: RsaKey,
  scheme: 'pss' | 'pkcs1',
  hash: PssHash,
  digest: Buffer,
  randomBytes: (size: number) => Buffer,
): Buffer {
  return scheme === 'pss'
    ? privateEncrypt(
        { key: privateKey, padding: RSA_NO_PADDING },
        encodePss(hash, digest, modulusBytes, randomBytes(digest.length)),
      )
    : privateEncrypt(
        { key: privateKey, padding: RSA_PKCS1_PADDING },
        Buffer.concat([DIGEST_INFO[hash], digest]),
      );
}

function verifyRsaDigest(
  { publicKey, modulusBytes }: RsaKey,
  scheme: 'pss' | 'pkcs1',
  hash: PssHash,
  digest: Buffer,
  signature: Buffer,
): boolean {
  // RFC 8017 §8.1.2 and §8.2.2, step 1.
  if (signature.length !== modulusBytes) return false;
  try {
    return scheme === 'pss'
      ? verifyPss(hash, digest, publicDecrypt({ key: publicKey, padding: RSA_NO_PADDING }, signature))
      : publicDecrypt({ key: publicKey, padding: RSA_PKCS1_PADDING }, signature).equals(
          Buffer.concat([DIGEST_INFO[hash], digest]),
        );
  } catch {
    // Not below the modulus, or not padded as PKCS#1 demands.
    return false;
  }
}

/** RFC 8032 §5.1. KMS hashes what it is given once more, although that is a digest already: its message is the digest. */
function signEd25519ph({ privateKey }: Ed25519Key, message: Buffer): Buffer {
  const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' });
  try {
    // RFC 8410 §7: the seed ends the structure.
    return Buffer.from(ed25519ph.sign(message, pkcs8.subarray(-32)));
  } finally {
    pkcs8.fill(0);
  }
}

function verifyEd25519ph({ publicKey }: Ed25519Key, message: Buffer, signature: Buffer): boolean {
  const point = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
  try {
    // FIPS 186-5 §7.7 and RFC 8032, not the looser rules of ZIP 215.
    return ed25519ph.verify(signature, message, point, { zip215: false });
  } catch {
    return false;
  }
}
