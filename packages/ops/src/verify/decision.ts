/**
 * What only shows when all values were seen: whether a key that did not open a value is the wrong one, and whether the store holds Kubernetes
 * objects at all.
 */
import type { ProviderKind } from '../stored-value.js';
import type { VerifyCause } from './causes.js';
import type { KmsWitnesses } from './kms-damage.js';

export interface VerifyFailure {
  /** The storage key. */
  readonly key: string;
  readonly cause: VerifyCause;
  /** One sentence; never plaintext or key material. */
  readonly message: string;
  readonly provider: ProviderKind;
  /** As `StoredValueKind.key`. */
  readonly keyName: string;
}

/** A failure as it was met. */
export interface Failed extends Omit<VerifyFailure, 'cause'> {
  readonly cause: VerifyCause | 'undecided' | 'no-object';
  /** Of the values that one key opens. */
  readonly group: string;
  readonly order: number;
  /** Where a KMS refused: what `KmsWitnesses.evidence` takes. */
  readonly refused?: string | undefined;
}

export interface Evidence {
  readonly failed: readonly Failed[];
  /** Groups of which a value opened. */
  readonly opened: ReadonlySet<string>;
  readonly witnesses: KmsWitnesses;
  /** By the order of a failure: where its value opens. */
  readonly places: ReadonlyMap<number, string>;
  /** Whether some value held the object that its key names. */
  readonly holdsObjects: boolean;
}

/** @returns undefined for what is no failure after all */
export function createDecision({
  failed,
  opened,
  witnesses,
  places,
  holdsObjects,
}: Evidence): (failure: Failed) => VerifyFailure | undefined {
  const undecided = countByGroup(failed, 'undecided');
  const noObject = countByGroup(failed, 'no-object');

  const keyFits = (group: string): boolean =>
    opened.has(group) ||
    // Under a wrong key one value in 256 passes the padding of CBC: of a few values it may well be one, never most.
    (!holdsObjects && (noObject.get(group) ?? 0) > (undecided.get(group) ?? 0));

  return ({ key, provider, keyName, refused, group, order, ...failure }) => {
    const evidence = refused === undefined ? undefined : witnesses.evidence(refused);
    const as = (cause: VerifyCause, message: string): VerifyFailure => ({
      key,
      cause,
      message,
      provider,
      keyName,
    });
    if (evidence !== undefined) {
      return as('authentication-failed', `the KMS refuses it, but ${evidence} (${failure.message})`);
    }
    const wrongKey = `the configured key ${quotedName(keyName)} is not the one that wrote it (${failure.message})`;
    switch (failure.cause) {
      case 'undecided': {
        const place = places.get(order);
        if (place !== undefined) return as('moved', `it was written as ${place} and opens only there`);
        if (provider === 'kms-v1' || provider === 'kms-v2') {
          return as(
            'authentication-failed',
            `the KMS unwraps its DEK, so the bytes were changed, or it was written under another key of etcd (${failure.message})`,
          );
        }
        return keyFits(group)
          ? as(
              'authentication-failed',
              `other values open under the same key, so the bytes of this one were changed (${failure.message})`,
            )
          : as('wrong-key', wrongKey);
      }
      case 'no-object':
        if (!keyFits(group) && undecided.has(group)) return as('wrong-key', wrongKey);
        return holdsObjects ? as('malformed', failure.message) : undefined;
      default:
        return as(failure.cause, failure.message);
    }
  };
}

function countByGroup(failed: readonly Failed[], cause: Failed['cause']): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const failure of failed) {
    if (failure.cause === cause) counts.set(failure.group, (counts.get(failure.group) ?? 0) + 1);
  }
  return counts;
}

const quotedName = (name: string): string => JSON.stringify(name.slice(0, 200));
