/**
 * Whether a KMS refuses a DEK source because its bytes were changed in storage. A plugin cannot tell: to it a flipped bit in the keyID is
 * a key that does not exist, one in the wrapped DEK another key or a refusal. Values that open are the witnesses.
 *
 * A change hits one value, a key that is gone all values of its DEK source. So a wrapped DEK that is refused for several values, and opens
 * for none, is never called changed.
 */
import { createHash } from 'node:crypto';
import { decodeEncryptedObject, encodeEncryptedObject } from '@waxseal/envelope';
import type { StoredValueKind } from '../stored-value.js';
import { bodyOf, differentBits } from './prefix-damage.js';

export interface KmsWitnesses {
  opened(kind: StoredValueKind, value: Buffer): void;
  /** @returns what `evidence` takes; undefined for values without a DEK source */
  refused(kind: StoredValueKind, value: Buffer): string | undefined;
  /** With all values seen: what says that the bytes were changed, as the second half of a sentence; undefined: nothing does. */
  evidence(sourceId: string): string | undefined;
}

interface Refusal {
  readonly kmsName: string;
  readonly keyId: string;
  readonly dekSource: string;
  /** How the first value ends: with what names and holds its DEK. */
  readonly end: Buffer;
  values: number;
}

/** Frames that differ by so few bits were one. */
const NEAR_BITS = 2;
/** Longer ones, with many annotations, are not compared. */
const FRAME_MAX_BYTES = 4096;
/** As many frames that opened, and as many that were refused, are kept to compare. */
const FRAMES_MAX = 1000;

export function createKmsWitnesses(): KmsWitnesses {
  const openedSources = new Set<string>();
  const openedKeyIds = new Set<string>();
  const openedFrames: Buffer[] = [];
  const refusals = new Map<string, Refusal>();
  const named = (kmsName: string, word: string): string => `${kmsName}:${word}`;
  return {
    opened({ provider, kmsName = '', key, dekSource }, value) {
      if (provider !== 'kms-v2' || dekSource === undefined) return;
      const source = named(kmsName, dekSource);
      if (openedSources.has(source)) return;
      openedSources.add(source);
      openedKeyIds.add(named(kmsName, key));
      const frame = frameOf(value);
      if (openedFrames.length < FRAMES_MAX && frame.length <= FRAME_MAX_BYTES) {
        openedFrames.push(Buffer.from(frame));
      }
    },
    refused({ provider, kmsName = '', key, dekSource }, value) {
      if (provider !== 'kms-v2' || dekSource === undefined) return undefined;
      const id = sourceId(value);
      const known = refusals.get(id);
      if (known !== undefined) known.values++;
      else {
        const end = Buffer.from(refusals.size < FRAMES_MAX ? value.subarray(-FRAME_MAX_BYTES) : []);
        refusals.set(id, { kmsName, keyId: key, dekSource, end, values: 1 });
      }
      return id;
    },
    evidence(id) {
      const refusal = refusals.get(id);
      if (refusal === undefined) return undefined;
      const { kmsName, keyId, dekSource, end, values } = refusal;
      if (openedSources.has(named(kmsName, dekSource))) {
        return 'other values with the same wrapped DEK open, so its keyID or its annotations were changed';
      }
      // By its bytes, not its fields: a changed length moves the fields behind it.
      if (openedFrames.some((frame) => endsNearly(end, frame))) {
        return 'but for a bit or two its wrapped DEK is that of other values, which open, so it was changed';
      }
      if (values > 1 || !openedKeyIds.has(named(kmsName, keyId))) return undefined;
      return 'other values with the same keyID open, so its wrapped DEK or its annotations were changed';
    },
  };
}

/** Equal for values that a plugin is asked about with the same words: keyID, wrapped bytes, annotations, type. */
export function sourceId(value: Buffer): string {
  const asked = { ...decodeEncryptedObject(bodyOf(value)), encryptedData: Buffer.of(0) };
  return createHash('sha256').update(encodeEncryptedObject(asked)).digest('base64');
}

/** What stands behind the ciphertext, which every writer puts first. */
function frameOf(value: Buffer): Buffer {
  const body = bodyOf(value);
  const { encryptedData } = decodeEncryptedObject(body);
  return body.subarray(encryptedData.byteOffset - body.byteOffset + encryptedData.length);
}

function endsNearly(end: Buffer, frame: Buffer): boolean {
  return end.length >= frame.length && differentBits(frame, end.subarray(-frame.length)) <= NEAR_BITS;
}
