/**
 * Keys in a file on this machine: for tests, single machines, and clusters whose keys an operator carries by hand. Who
 * can read the file can read everything.
 */
import { randomBytes as systemRandomBytes } from 'node:crypto';
import { ProviderError, unopenable, type Failure } from '../errors.js';
import type { Provider } from '../provider.js';
import { createSnapshot, type KeySnapshot } from '../snapshot.js';
import { openLocal, parseLocalCiphertext, sealLocal } from './local-ciphertext.js';
import { keyIdOf, readKeyring, type KeyringKey, type ReadPassphrase } from './local-keyring.js';

export interface LocalProviderOptions {
  /** The keyring file; `createKeyring` makes one. */
  readonly keyringFile: string;
  /** Of an encrypted keyring; read again at every reload. */
  readonly passphrase?: ReadPassphrase | undefined;
  readonly randomBytes?: (sizeBytes: number) => Buffer;
}

const closed: Failure = {
  class: 'unavailable',
  code: 'unavailable',
  advice: 'The plugin is stopping; the call can be tried again when it runs.',
};

const keyMissing: Failure = {
  class: 'corrupt',
  code: 'failed_precondition',
  advice: 'The ciphertext names a key that is not in the keyring; put that key back to read it.',
};

interface Keyring {
  readonly snapshot: KeySnapshot;
  /** By key id. */
  readonly keys: ReadonlyMap<string, Buffer>;
}

/**
 * @throws KmsPluginError as `readKeyring`
 */
export async function createLocalProvider(options: LocalProviderOptions): Promise<Provider> {
  const randomBytes = options.randomBytes ?? systemRandomBytes;
  let keyring: Keyring | undefined = toKeyring(await readKeyring(options.keyringFile, options.passphrase));
  let { snapshot } = keyring;

  const inUse = (): Keyring => {
    if (keyring === undefined) throw new ProviderError('closed', closed);
    return keyring;
  };
  const forget = (old: Keyring | undefined): void => {
    for (const key of old?.keys.values() ?? []) key.fill(0);
  };

  return {
    name: 'local',
    snapshot: () => snapshot,

    encrypt: async ({ keyId }, plaintext) => {
      const key = inUse().keys.get(keyId);
      if (key === undefined) throw new ProviderError('key not in keyring', keyMissing);
      return { ciphertext: sealLocal(keyId, key, plaintext, randomBytes), annotations: {} };
    },

    decrypt: async ({ ciphertext }) => {
      const parts = parseLocalCiphertext(ciphertext);
      if (parts === undefined) throw new ProviderError('not a local ciphertext', unopenable);
      const key = inUse().keys.get(parts.keyId);
      if (key === undefined) throw new ProviderError('key not in keyring', keyMissing);
      const plaintext = openLocal(parts, key);
      if (plaintext === undefined) throw new ProviderError('authentication failed', unopenable);
      return plaintext;
    },

    recognizes: ({ ciphertext }) => parseLocalCiphertext(ciphertext) !== undefined,

    reload: async () => {
      const fresh = toKeyring(await readKeyring(options.keyringFile, options.passphrase));
      forget(keyring);
      keyring = fresh;
      snapshot = fresh.snapshot;
    },

    close: async () => {
      forget(keyring);
      keyring = undefined;
    },
  };
}

function toKeyring(keys: readonly KeyringKey[]): Keyring {
  const byId = new Map(keys.map((entry) => [keyIdOf(entry), entry.key]));
  const [first] = keys;
  if (first === undefined) throw new RangeError('readKeyring gives at least one key');
  return {
    keys: byId,
    snapshot: createSnapshot({ keyId: keyIdOf(first), keyVersion: String(first.version) }),
  };
}
