/**
 * Which version of a Key Vault key writes now, and which one a stored value needs.
 *
 * A ciphertext of Key Vault does not name the version that made it, so the key id and the annotations have to.
 */
import type { KeyCondition } from '../key-condition.js';
import { ProviderError, type Failure } from '../errors.js';
import { createSnapshot, type KeySnapshot } from '../snapshot.js';
import { keyDisabled } from './azure-errors.js';
import type { DeletedKeyInfo, KeyVaultCalls, KeyVersionInfo } from './azure-key-vault-calls.js';
import { keyIdOf, keyUrlOf, type AzureKeyUrl } from './azure-key-url.js';

export interface KeyVersions {
  /** Before the vault has answered for the first time, a key without a pinned version has a snapshot without one. */
  snapshot(): KeySnapshot;
  /**
   * The version to write with under this snapshot; asks the vault where it is not known yet. Looks for a newer one now and then,
   * in the background.
   *
   * @throws ProviderError class `user-induced` when the version is known to be disabled: Key Vault goes on encrypting with such
   * an RSA key, and nothing that it encrypts could be read
   */
  toEncrypt(snapshot: KeySnapshot, signal: AbortSignal): Promise<string>;
  /**
   * The versions that may open a value, the likeliest first.
   *
   * @param keyId undefined for KMS v1
   * @param hint the version an annotation names
   * @throws ProviderError class `corrupt` when the key id is of another key
   */
  toDecrypt(
    keyId: string | undefined,
    hint: string | undefined,
    signal: AbortSignal,
  ): Promise<readonly string[]>;
  /** @throws ProviderError */
  describe(signal: AbortSignal): Promise<KeyCondition>;
  close(): void;
}

export interface KeyVersionsOptions {
  readonly key: AzureKeyUrl;
  readonly calls: KeyVaultCalls;
  readonly nowMs: () => number;
  /** How often the vault is asked for a newer version, at most. */
  readonly pollIntervalMs: number;
}

/** Without a key id every version has to be tried; more than these would not fit into a deadline. */
const candidatesMax = 8;
const listIntervalMs = 60_000;
const daysMs = 86_400_000;

const foreignKey: Failure = {
  class: 'corrupt',
  code: 'failed_precondition',
  advice: 'The ciphertext belongs to another key, or to a version of this one that the vault does not know.',
};

export function createKeyVersions({ key, calls, nowMs, pollIntervalMs }: KeyVersionsOptions): KeyVersions {
  const snapshotOf = (version: string | undefined): KeySnapshot =>
    createSnapshot({ keyId: keyIdOf(keyUrlOf(key, version)), keyVersion: version });
  const anyVersionId = keyIdOf(keyUrlOf(key, undefined));
  let snapshot = snapshotOf(key.pinnedVersion);
  let currentEnabled = true;
  let askedMs = Number.NEGATIVE_INFINITY;
  let listedMs = Number.NEGATIVE_INFINITY;
  let listed: readonly string[] = [];
  let underWay: Promise<unknown> | undefined;
  const stop = new AbortController();

  const usable = (info: KeyVersionInfo): boolean =>
    info.enabled &&
    (info.notBeforeMs === undefined || info.notBeforeMs <= nowMs()) &&
    (info.expiresMs === undefined || info.expiresMs > nowMs());

  const list = async (signal: AbortSignal): Promise<readonly KeyVersionInfo[]> => {
    listedMs = nowMs();
    const versions = [...(await calls.listVersions(signal))].toSorted((a, b) => b.createdMs - a.createdMs);
    listed = versions.map(({ version }) => version);
    return versions;
  };

  /** Where the newest version cannot write, the newest that can takes its place. */
  const newest = async (signal: AbortSignal): Promise<KeyVersionInfo> => {
    const latest = await calls.getKey(undefined, signal);
    if (usable(latest)) return latest;
    const other = (await list(signal)).find((info) => usable(info));
    return other === undefined ? latest : { ...other, operations: latest.operations };
  };

  const refresh = async (signal: AbortSignal): Promise<KeyVersionInfo> => {
    askedMs = nowMs();
    const info =
      key.pinnedVersion === undefined ? await newest(signal) : await calls.getKey(key.pinnedVersion, signal);
    if (info.version !== snapshot.keyVersion) snapshot = snapshotOf(info.version);
    currentEnabled = info.enabled;
    return info;
  };

  const refreshInBackground = (): void => {
    if (underWay !== undefined || nowMs() - askedMs < pollIntervalMs || stop.signal.aborted) return;
    // What goes wrong shows in `describe` and in the next call; the version that is known goes on.
    underWay = refresh(stop.signal)
      .catch(() => undefined)
      .finally(() => {
        underWay = undefined;
      });
  };

  return {
    snapshot: () => snapshot,

    toEncrypt: async ({ keyVersion }, signal) => {
      if (keyVersion === undefined) {
        const { version } = await refresh(signal);
        if (!currentEnabled) throw new ProviderError('KeyDisabled', keyDisabled);
        return version;
      }
      if (currentEnabled || keyVersion !== snapshot.keyVersion) {
        refreshInBackground();
        return keyVersion;
      }
      // Asked each time, so that writes go on as soon as the version is enabled again, or another has taken its place.
      const { version } = await refresh(signal);
      if (!currentEnabled || version !== keyVersion) throw new ProviderError('KeyDisabled', keyDisabled);
      return keyVersion;
    },

    toDecrypt: async (keyId, hint, signal) => {
      const isOf = (version: string): boolean => keyIdOf(keyUrlOf(key, version)) === keyId;
      const known = (): readonly string[] =>
        [snapshot.keyVersion, key.pinnedVersion, ...listed].filter((version) => version !== undefined);
      if (hint !== undefined) {
        if (keyId === undefined || keyId === anyVersionId || isOf(hint)) return [hint];
        throw new ProviderError('key id of another key', foreignKey);
      }
      if (keyId !== undefined && keyId !== anyVersionId) {
        const found = known().find((version) => isOf(version));
        if (found !== undefined) return [found];
      }
      if (nowMs() - listedMs >= listIntervalMs) {
        // Without the permission to list, what is known has to do.
        await list(signal).catch((error: unknown) => {
          if (!(error instanceof ProviderError) || error.failure.class !== 'denied') throw error;
        });
      }
      if (keyId === undefined || keyId === anyVersionId) {
        const candidates = [...new Set(known())].slice(0, candidatesMax);
        if (candidates.length > 0) return candidates;
      } else {
        const found = known().find((version) => isOf(version));
        if (found !== undefined) return [found];
      }
      throw new ProviderError('key id of another key', foreignKey);
    },

    describe: async (signal) => {
      let info: KeyVersionInfo;
      try {
        info = await refresh(signal);
      } catch (error) {
        if (!(error instanceof ProviderError) || error.reason !== 'KeyNotFound') throw error;
        return deletedCondition(await deletedKey(calls, signal));
      }
      return conditionOf(info, nowMs());
    },

    close: () => {
      stop.abort();
    },
  };
}

async function deletedKey(calls: KeyVaultCalls, signal: AbortSignal): Promise<DeletedKeyInfo | undefined> {
  try {
    return await calls.getDeletedKey(signal);
  } catch (error) {
    const { failure } = error instanceof ProviderError ? error : { failure: undefined };
    if (failure?.class === 'user-induced' || failure?.class === 'denied') return undefined;
    throw error;
  }
}

function deletedCondition(deleted: DeletedKeyInfo | undefined): KeyCondition {
  if (deleted === undefined) return { state: 'gone', warnings: [] };
  return {
    state: 'pending-deletion',
    // A deleted key opens nothing any more; the purge only makes that final.
    ...(deleted.deletedMs === undefined ? {} : { unreadableFromMs: deleted.deletedMs }),
    warnings: [
      deleted.purgeMs === undefined
        ? 'The key is deleted; recover it.'
        : `The key is deleted and will be destroyed on ${dateOf(deleted.purgeMs)}; recover it before.`,
    ],
  };
}

function conditionOf(info: KeyVersionInfo, nowMs: number): KeyCondition {
  const warnings: string[] = [];
  const { expiresMs, notBeforeMs, operations, recoveryLevel, recoverableDays } = info;
  const expired = expiresMs !== undefined && expiresMs <= nowMs;
  const tooEarly = notBeforeMs !== undefined && notBeforeMs > nowMs;
  // Key Vault decrypts with versions outside their dates; it only encrypts nothing with them.
  if (expired)
    warnings.push(`The version expired on ${dateOf(expiresMs)}: it writes no more, and still reads.`);
  else if (expiresMs !== undefined) {
    const days = Math.floor((expiresMs - nowMs) / daysMs);
    warnings.push(`The version expires on ${dateOf(expiresMs)}, in ${days} days; it then only reads.`);
  }
  if (tooEarly) warnings.push(`The version writes only from ${dateOf(notBeforeMs)} on.`);
  for (const needed of ['encrypt', 'decrypt']) {
    if (operations !== undefined && !operations.includes(needed)) {
      warnings.push(`The key operations do not permit ${needed}.`);
    }
  }
  if (recoveryLevel === 'Purgeable') {
    warnings.push('The vault has no soft delete: a deleted key is lost at once.');
  } else if (recoveryLevel?.includes('Purgeable') === true) {
    const span = recoverableDays === undefined ? '' : ` within its ${recoverableDays} days`;
    warnings.push(`The vault has no purge protection: a deleted key can be destroyed${span}.`);
  }
  return { state: info.enabled ? (expired ? 'expired' : 'usable') : 'disabled', warnings };
}

function dateOf(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10);
}
