/**
 * Which version of a Cloud KMS key new values are wrapped with, as learnt from what Encrypt answers.
 *
 * Cloud KMS encrypts with the key's primary version and says which it was. A change of the primary reaches Google's servers one after the
 * other: usually within a minute, rarely within hours (Cloud KMS, "Consistency of resources"). In between, answers name the old and the new
 * version in turn. A key id that follows each of them would make an API server generate a new DEK each time, so a version is left only
 * forwards, or when nothing has named it for a while (a primary that was set back).
 */

/** How long every answer must name a lower version before it is believed. */
export const settleMs = 10 * 60_000;

export interface PrimaryVersion {
  /** The version in use; undefined before the first answer. */
  current(): string | undefined;
  /**
   * An answer named `version`.
   *
   * @returns true when the version in use changed
   */
  observe(version: string, nowMs: number): boolean;
  /** The version in use cannot encrypt any more; whatever is named next is taken. */
  abandon(): void;
}

export function createPrimaryVersion(): PrimaryVersion {
  let current: string | undefined;
  let abandoned = false;
  let lower: { readonly version: string; readonly sinceMs: number } | undefined;

  const adopt = (version: string): boolean => {
    const changed = version !== current;
    current = version;
    abandoned = false;
    lower = undefined;
    return changed;
  };

  return {
    current: () => current,
    observe: (version, nowMs) => {
      if (current === undefined || abandoned || BigInt(version) >= BigInt(current)) return adopt(version);
      if (lower?.version !== version) lower = { version, sinceMs: nowMs };
      return nowMs - lower.sinceMs >= settleMs ? adopt(version) : false;
    },
    abandon: () => {
      abandoned = true;
    },
  };
}
