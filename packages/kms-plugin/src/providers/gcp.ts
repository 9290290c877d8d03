/**
 * Google Cloud KMS. Ciphertexts and key ids are those of Google's k8s-cloudkms-plugin (v1 and v2), so either plugin reads what the other
 * wrote. docs/formats/kms-plugin-gcp.md says more.
 */
import { systemClock, type Clock } from '../clock.js';
import { KmsPluginError, ProviderError, unopenable, type Failure } from '../errors.js';
import type { Provider, Unwrap } from '../provider.js';
import { createSnapshot, type KeySnapshot } from '../snapshot.js';
import { gcpKeyCondition } from './gcp-key-condition.js';
import { createGcpKmsCalls, type GcpConnectionOptions, type GcpKmsCalls } from './gcp-kms-calls.js';
import { isSameGcpKey, parseGcpKeyId, parseGcpKeyName, requireGcpKeyName } from './gcp-key-name.js';
import { createPrimaryVersion } from './gcp-primary-version.js';

export interface GcpProviderOptions extends GcpConnectionOptions {
  /**
   * `projects/…/locations/…/keyRings/…/cryptoKeys/…`: its primary version wraps, whichever that is. With `/cryptoKeyVersions/N` behind it,
   * that version and no other.
   */
  readonly key: string;
  /** Further keys whose values may be read, by the same kind of name; none by default. */
  readonly decryptKeys?: readonly string[];
  /**
   * Put behind the key id after a colon, as k8s-cloudkms-plugin's `--key-suffix`: for a key version that was in use before and is again.
   * Printable ASCII without `/`; none by default.
   */
  readonly keyIdSuffix?: string;
  /**
   * Bound to every ciphertext; must stay the same for as long as values are to be read. None by default; k8s-cloudkms-plugin reads only
   * what was written without.
   */
  readonly additionalAuthenticatedData?: string;
  readonly clock?: Clock;
}

const otherKey: Failure = {
  class: 'internal',
  code: 'internal',
  advice: 'Cloud KMS used another key than it was asked to; check the endpoint.',
};
const foreignKey: Failure = {
  class: 'corrupt',
  code: 'failed_precondition',
  advice: 'The value was written with a Cloud KMS key that is not on the list of keys to decrypt with.',
};

/** Cloud KMS takes 64 KiB; more than a name of the cluster is not meant. */
const aadMaxBytes = 1024;
/** Versions that values were read with, remembered for early warning. */
const neededMax = 1000;

/**
 * Nothing is loaded, read or connected before the first call.
 *
 * @throws KmsPluginError `invalid_options`
 */
export function createGcpProvider(options: GcpProviderOptions): Provider {
  checkText('keyIdSuffix', options.keyIdSuffix, /^[!-.0-~]{1,128}$/);
  const { key, version: pinned } = requireGcpKeyName(options.key);
  const readable = [key, ...(options.decryptKeys ?? []).map((name) => requireGcpKeyName(name).key)];
  const aadText = options.additionalAuthenticatedData ?? '';
  const aad = Buffer.from(aadText);
  if (aad.length > aadMaxBytes) {
    throw new KmsPluginError(
      'invalid_options',
      `additionalAuthenticatedData has more than ${aadMaxBytes} bytes.`,
    );
  }
  const clock = options.clock ?? systemClock;
  const calls: GcpKmsCalls = createGcpKmsCalls(options);
  const needed = new Set<string>();
  const primary = createPrimaryVersion();

  /** @param name of the version, or of the key before the version is known */
  const snapshotOf = (name: string, keyVersion: string | undefined): KeySnapshot =>
    createSnapshot({
      keyId: options.keyIdSuffix === undefined ? name : `${name}:${options.keyIdSuffix}`,
      keyVersion,
      encryptionContext: aadText === '' ? {} : { additionalAuthenticatedData: aadText },
    });
  let snapshot = snapshotOf(options.key, pinned);

  /** @returns the version that encrypted, and the name it goes by */
  const encryptWith = async (
    name: string,
    plaintext: Buffer,
    signal: AbortSignal,
  ): Promise<{ readonly name: string; readonly version: string; readonly ciphertext: Buffer }> => {
    const answer = await calls.encrypt({ name, plaintext, aad }, signal);
    const used = parseGcpKeyName(answer.name);
    const asked = parseGcpKeyName(name)?.version;
    if (
      used?.version === undefined ||
      !isSameGcpKey(used.key, key) ||
      (asked !== undefined && asked !== used.version)
    ) {
      throw new ProviderError('another key answered Encrypt', otherKey);
    }
    return { name: answer.name, version: used.version, ciphertext: answer.ciphertext };
  };

  const encryptWithVersion = async (
    version: string,
    plaintext: Buffer,
    signal: AbortSignal,
  ): Promise<Buffer> =>
    (await encryptWith(`${key}/cryptoKeyVersions/${version}`, plaintext, signal)).ciphertext;

  const encryptWithCurrent = async (
    { keyVersion }: KeySnapshot,
    plaintext: Buffer,
    signal: AbortSignal,
  ): Promise<Buffer> => {
    const answer = await encryptWith(key, plaintext, signal);
    if (primary.observe(answer.version, clock.nowMs())) snapshot = snapshotOf(answer.name, answer.version);
    if (keyVersion === undefined || keyVersion === answer.version) return answer.ciphertext;
    // The primary has changed under this snapshot: its own version wraps for it, and the next snapshot names the new one.
    try {
      return await encryptWithVersion(keyVersion, plaintext, signal);
    } catch (error) {
      if (error instanceof ProviderError && error.failure.class === 'user-induced') primary.abandon();
      throw error;
    }
  };

  return {
    name: 'gcp',
    connection: {
      url: options.endpoint ?? `https://cloudkms.${options.universeDomain ?? 'googleapis.com'}`,
    },
    snapshot: () => snapshot,

    encrypt: async (given, plaintext, signal) => {
      const follows = pinned === undefined && (given === snapshot || given.keyVersion === undefined);
      return {
        ciphertext: follows
          ? await encryptWithCurrent(given, plaintext, signal)
          : await encryptWithVersion(given.keyVersion ?? '', plaintext, signal),
        annotations: {},
      };
    },

    decrypt: async (wrapped, signal) => {
      if (wrapped.ciphertext.length === 0) throw new ProviderError('empty ciphertext', unopenable);
      const named = wrapped.keyId === undefined ? undefined : parseGcpKeyId(wrapped.keyId);
      const candidates =
        named === undefined ? readable : readable.filter((name) => isSameGcpKey(name, named.key));
      let failed = new ProviderError('key not allowed', foreignKey);
      for (const name of candidates) {
        try {
          const plaintext = await calls.decrypt({ name, ciphertext: wrapped.ciphertext, aad }, signal);
          if (named?.version !== undefined && name === key && needed.size < neededMax)
            needed.add(named.version);
          return plaintext;
        } catch (error) {
          if (!(error instanceof ProviderError) || error.failure.class !== 'corrupt') throw error;
          failed = error;
        }
      }
      throw failed;
    },

    recognizes: ({ ciphertext, keyId }: Unwrap) => {
      if (ciphertext.length === 0) return false;
      const named = keyId === undefined ? undefined : parseGcpKeyId(keyId);
      return named === undefined || readable.some((name) => isSameGcpKey(name, named.key));
    },

    describe: async (signal) => {
      const facts = await calls.getKey(key, signal);
      const versions = await calls.listVersions(key, signal).catch((error: unknown) => {
        if (error instanceof ProviderError && error.failure.class === 'denied') return undefined;
        throw error;
      });
      return gcpKeyCondition({ key: facts, versions, writes: snapshot.keyVersion, needed });
    },

    reload: () => calls.reload(),
    close: () => calls.close(),
  };
}

function checkText(name: string, text: string | undefined, form: RegExp): void {
  if (text === undefined || form.test(text)) return;
  throw new KmsPluginError('invalid_options', `${name} "${text}" must match ${String(form)}.`);
}
