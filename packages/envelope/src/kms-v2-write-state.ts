/**
 * What KMS v2 writes with: one seed, wrapped once, and how long it may be used.
 *
 * Source of the rule: k8s.io/apiserver `storage/value/encrypt/envelope/kmsv2` (State, GenerateTransformer). The state
 * is immutable; whoever watches the KMS replaces it.
 */
import { createHash } from 'node:crypto';
import { createSeedDek, type DekWriter } from './dek.js';
import { createDerivedKeyCache } from './derived-keys.js';
import { EnvelopeError } from './errors.js';
import { encodeDekSource, DEK_SOURCE_TYPE, type Annotations, type DekSource } from './kms-v2-object.js';

/** Made by `createKmsV2WriteState` or `extendKmsV2WriteState` only. */
export interface KmsV2WriteState extends DekSource {
  /** Names the Encrypt call that made this state, for logs. */
  readonly uid: string;
  /** Milliseconds since the epoch; after it writes fail until the state is extended. Reads go on. */
  readonly expiresAtMs: number;
  /** Fields 2 to 5 of every EncryptedObject written with this state. */
  readonly encodedSource: Buffer;
  readonly dek: DekWriter;
}

export interface KmsV2WriteStateOptions {
  /** At least 32 random bytes, which the KMS has wrapped; wiped here. */
  readonly seed: Buffer;
  /** The KMS's answer to Encrypt. */
  readonly keyId: string;
  readonly encryptedDekSource: Buffer;
  readonly annotations: Annotations;
  readonly uid: string;
  readonly expiresAtMs: number;
}

/** @throws EnvelopeError when the KMS's answer breaks a limit of the format */
export function createKmsV2WriteState(options: KmsV2WriteStateOptions): KmsV2WriteState {
  const source: DekSource = {
    keyId: options.keyId,
    encryptedDekSource: options.encryptedDekSource,
    annotations: options.annotations,
    encryptedDekSourceType: DEK_SOURCE_TYPE.HKDF_SHA256_XNONCE_AES_GCM_SEED,
  };
  const encodedSource = encodeDekSource(source);
  const dek = createSeedDek(options.seed, createDerivedKeyCache());
  return { ...source, encodedSource, dek, uid: options.uid, expiresAtMs: options.expiresAtMs };
}

/** The same DEK source, usable until another time. */
export function extendKmsV2WriteState(state: KmsV2WriteState, expiresAtMs: number): KmsV2WriteState {
  return { ...state, expiresAtMs };
}

/** @throws EnvelopeError `write-state-expired` when `nowMs` is after the expiry */
export function assertWritable(state: KmsV2WriteState, nowMs: number): void {
  if (nowMs <= state.expiresAtMs) return;
  throw new EnvelopeError(
    'write-state-expired',
    `encryptedDEKSource with keyID hash ${JSON.stringify(hashKeyId(state.keyId))} expired at ${rfc3339(state.expiresAtMs)} (current time is ${rfc3339(nowMs)}): the KMS plugin has not named a key it can write with since; its health says why`,
  );
}

/** How key ids appear in logs, errors and metrics: `sha256:` and hex; empty for an empty one. */
export function hashKeyId(keyId: string): string {
  return keyId === '' ? '' : `sha256:${createHash('sha256').update(keyId).digest('hex')}`;
}

/** Whole seconds in UTC, as Go's time.RFC3339 prints them. */
export function rfc3339(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(/\.\d{3}Z$/, 'Z');
}
