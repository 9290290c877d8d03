/**
 * Does a key fit a value that does not open? Told by deciphering without checking the tag: under the right key the first bytes are
 * those of a Kubernetes object, under another key they are noise. That tells a wrong key from changed bytes, and the name in
 * the object tells where a moved value comes from.
 *
 * What is read here is a hint, never data: it stays in this folder, and a place found by it counts only when the value opens
 * there with its tag. Sources: NIST SP 800-38D §7.1 (GCM is CTR from inc32(J0)), NaCl secretbox, RFC 5869 §2.3.
 */
import { createDecipheriv, createHmac } from 'node:crypto';
import { xsalsa20 } from '@noble/ciphers/salsa.js';
import { DEK_SOURCE_TYPE, type DekSourceType } from '@waxseal/envelope';
import { differentBits } from './prefix-damage.js';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const BLOCK_BYTES = 16;
const INFO_BYTES = 32;
const SECRETBOX_NONCE_BYTES = 24;
/** The first 32 bytes of the stream are the key of Poly1305. */
const SECRETBOX_STREAM_SKIP_BYTES = 32;

/** Deciphers without a check; undefined when the lengths are impossible. */
export type Decipher = (key: Buffer, body: Buffer) => Buffer | undefined;

export const unverifiedGcm: Decipher = (key, body) => {
  if (!isAesKey(key) || body.length < NONCE_BYTES + TAG_BYTES) return undefined;
  const counter = Buffer.alloc(BLOCK_BYTES);
  body.copy(counter, 0, 0, NONCE_BYTES);
  counter.writeUInt32BE(2, NONCE_BYTES);
  return createDecipheriv(`aes-${key.length * 8}-ctr`, key, counter).update(
    body.subarray(NONCE_BYTES, body.length - TAG_BYTES),
  );
};

export const unverifiedCbc: Decipher = (key, body) => {
  if (!isAesKey(key) || body.length < 2 * BLOCK_BYTES) return undefined;
  return createDecipheriv(`aes-${key.length * 8}-cbc`, key, body.subarray(0, BLOCK_BYTES))
    .setAutoPadding(false)
    .update(body.subarray(BLOCK_BYTES, body.length - (body.length % BLOCK_BYTES)));
};

export const unverifiedSecretbox: Decipher = (key, body) => {
  if (key.length !== 32 || body.length < SECRETBOX_NONCE_BYTES + TAG_BYTES) return undefined;
  const stream = Buffer.alloc(SECRETBOX_STREAM_SKIP_BYTES + body.length - SECRETBOX_NONCE_BYTES - TAG_BYTES);
  body.copy(stream, SECRETBOX_STREAM_SKIP_BYTES, SECRETBOX_NONCE_BYTES + TAG_BYTES);
  const opened = Buffer.from(xsalsa20(key, body.subarray(0, SECRETBOX_NONCE_BYTES), stream));
  return opened.subarray(SECRETBOX_STREAM_SKIP_BYTES);
};

/** KMS v2: `source` is what the KMS unwrapped. */
export function unverifiedKmsV2(type: DekSourceType, source: Buffer, sealed: Buffer): Buffer | undefined {
  if (type === DEK_SOURCE_TYPE.AES_GCM_KEY) return unverifiedGcm(source, sealed);
  if (sealed.length < INFO_BYTES) return undefined;
  const dek = createHmac('sha256', source)
    .update(sealed.subarray(0, INFO_BYTES))
    .update(Buffer.of(1))
    .digest();
  try {
    return unverifiedGcm(dek, sealed.subarray(INFO_BYTES));
  } finally {
    dek.fill(0);
  }
}

/** How stored objects begin, and how many wrong bits a changed value may have there: noise has about half of them wrong. */
const HEADS: readonly { readonly bytes: Buffer; readonly wrongBits: number }[] = [
  { bytes: Buffer.from('k8s\0\n'), wrongBits: 3 },
  { bytes: Buffer.from('{"kind":"'), wrongBits: 8 },
  { bytes: Buffer.from('{"apiVersion":"'), wrongBits: 8 },
  { bytes: Buffer.from('{"metadata":{'), wrongBits: 8 },
];

export function beginsAsObject(data: Buffer): boolean {
  return HEADS.some(({ bytes, wrongBits }) => {
    return data.length >= bytes.length && differentBits(bytes, data) <= wrongBits;
  });
}

const isAesKey = (key: Buffer): boolean => key.length === 16 || key.length === 24 || key.length === 32;
