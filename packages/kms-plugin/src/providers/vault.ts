/**
 * Wrapping with the transit engine of HashiCorp Vault or OpenBao.
 *
 * A snapshot names one version of the transit key, and Encrypt asks for exactly that version. The key is read once a minute to see
 * rotations; where the token may not read it, the version is learnt from what Encrypt answers.
 * Stored bytes: docs/formats/kms-plugin-vault.md.
 */
import { systemClock, type Clock } from '../clock.js';
import { withDeadline } from '../deadline.js';
import { KmsPluginError, ProviderError, timedOut } from '../errors.js';
import type { Provider } from '../provider.js';
import { createSnapshot, type KeySnapshot } from '../snapshot.js';
import { baoAssociatedData, isBaoValue, type BaoKmsProviderNames } from './vault-bao-values.js';
import { isCanonicalBase64, openableCiphertext, parseTransitCiphertext } from './vault-ciphertext.js';
import { garbledVaultAnswer, vaultFindings } from './vault-errors.js';
import { createVaultHttp, type VaultAnswer, type VaultConnectionOptions } from './vault-http.js';
import { conditionOf, parseTransitKey, type TransitKey } from './vault-key.js';
import { createVaultLogin, type VaultAuth } from './vault-logins.js';
import { pathOf } from './vault-path.js';
import { createVaultSession } from './vault-session.js';

export interface VaultProviderOptions extends VaultConnectionOptions {
  /** Name of the transit key. */
  readonly keyName: string;
  /** Where the transit engine is mounted; `transit` by default. */
  readonly mount?: string;
  /** Base64; the context of a derived key. It must stay the same for as long as values are to be read. */
  readonly context?: string;
  /**
   * Base64; bound to every ciphertext as additional authenticated data. It must stay the same for as long as values are to be read, and
   * values written without it are not. Vault 1.13 and later and OpenBao; an older Vault ignores it.
   */
  readonly associatedData?: string;
  readonly auth: VaultAuth;
  /** Names that bao-kms-provider used, for reading its values; none by default. */
  readonly baoKmsProvider?: BaoKmsProviderNames;
  readonly clock?: Clock;
  /** Time between two looks at the key; 60,000 by default. */
  readonly keyPollMs?: number;
}

/** Within the deadline of the operation that waits for it. */
const background = { timeoutMs: 2500, failure: timedOut };
const defaultPollMs = 60_000;

/** What is known of the key: `unread` until the first look, `blind` when the token may not look. */
type Known =
  | { readonly kind: 'unread' }
  | { readonly kind: 'read'; readonly key: TransitKey }
  | { readonly kind: 'blind' }
  | { readonly kind: 'gone'; readonly error: ProviderError };

/**
 * Nothing is read or connected before the first call.
 *
 * @throws KmsPluginError `invalid_options`
 */
export function createVaultProvider(options: VaultProviderOptions): Provider {
  const { keyName, mount = 'transit', clock = systemClock, keyPollMs = defaultPollMs } = options;
  // The transit engine's own rule for names (framework.GenericNameRegex).
  if (!/^\w([\w.-]{0,254}\w)?$/.test(keyName))
    throw new KmsPluginError('invalid_options', `"${keyName}" is not the name of a transit key.`);
  const [encryptPath, decryptPath, keyPath] = ['encrypt', 'decrypt', 'keys'].map((verb) =>
    pathOf(mount, verb, keyName),
  ) as [string, string, string];
  const bound = {
    ...base64Option('context', 'context', options.context),
    ...base64Option('associatedData', 'associated_data', options.associatedData),
  };
  const label = `vault:${mount.replace(/^\/|\/$/g, '')}/${keyName}`;
  const login = createVaultLogin(options.auth);
  const http = createVaultHttp(options);
  const session = createVaultSession({
    http,
    login,
    clock,
    timeoutMs: background.timeoutMs,
    ...(options.auth.kind === 'token' && options.auth.tokenFile !== undefined ? { rereadMs: keyPollMs } : {}),
  });

  const snapshotOf = (version: number | undefined, madeAtSeconds?: number): KeySnapshot =>
    createSnapshot({
      keyId: [
        label,
        ...(version === undefined ? [] : [`v${version}`]),
        ...(madeAtSeconds === undefined ? [] : [madeAtSeconds]),
      ].join(':'),
      keyVersion: version === undefined ? undefined : String(version),
      encryptionContext: bound,
    });
  let snapshot = snapshotOf(undefined);
  let known: Known = { kind: 'unread' };
  let looking: Promise<Known> | undefined;
  let cancelPoll: (() => void) | undefined;
  let closed = false;

  const adopt = (version: number, madeAtSeconds?: number): void => {
    const next = snapshotOf(version, madeAtSeconds);
    if (next.keyId !== snapshot.keyId) snapshot = next;
  };

  const readKey = async (signal: AbortSignal): Promise<Known> => {
    try {
      const key = parseTransitKey(
        (await session.call({ method: 'GET', path: keyPath }, signal, true))['data'],
      );
      adopt(key.latestVersion, key.createdAtSeconds);
      known = { kind: 'read', key };
    } catch (error) {
      const { failure, reason } = error as ProviderError;
      if (reason === 'HTTP 404')
        known = { kind: 'gone', error: new ProviderError('the key is gone', vaultFindings.gone, error) };
      // A token that may look no more keeps what is known of the version.
      else if (failure.code === 'permission_denied') known = { kind: 'blind' };
      else throw error;
    }
    return known;
  };
  /** One look at a time, for whoever asks meanwhile. */
  const look = (): Promise<Known> =>
    (looking ??= withDeadline(clock, background, undefined, readKey).finally(() => {
      looking = undefined;
    }));
  const lookNow = async (): Promise<void> => {
    try {
      await look();
    } catch {
      // The next call says why.
    }
  };
  const pollLater = (): void => {
    if (closed) return;
    cancelPoll?.();
    cancelPoll = clock.after(keyPollMs, () => {
      // What fails here fails in the next call as well, which says why.
      void look().then(pollLater, pollLater);
    });
  };

  const encryptOnce = async (
    version: string | undefined,
    plaintext: Buffer,
    signal: AbortSignal,
  ): Promise<Sealed> => {
    const answer = await session.call(
      {
        method: 'POST',
        path: encryptPath,
        body: {
          plaintext: plaintext.toString('base64'),
          ...bound,
          ...(version === undefined ? {} : { key_version: Number(version) }),
        },
      },
      signal,
    );
    const sealed = sealedOf(answer);
    if (version !== undefined && sealed.version !== Number(version))
      throw new ProviderError('another key version answered Encrypt', vaultFindings.otherVersion);
    return sealed;
  };

  return {
    name: 'vault',
    connection: {
      url: typeof options.address === 'string' ? options.address : options.address[0],
      caFile: options.caFile,
    },
    // The public half of an RSA key can be read with the key, and encrypts as well as Vault does.
    get forgeable() {
      return known.kind === 'read' && known.key.asymmetric;
    },
    snapshot: () => snapshot,

    encrypt: async ({ keyVersion }, plaintext, signal) => {
      if (cancelPoll === undefined) pollLater();
      // Encrypt makes a key that is missing when the token may create it: what is not there must be refused before.
      const now = known.kind === 'unread' || known.kind === 'gone' ? await look() : known;
      if (now.kind === 'gone') throw now.error;
      // A snapshot from before the first look names no version; it gets the one its successor names.
      const version = keyVersion ?? snapshot.keyVersion;
      if (now.kind === 'read') {
        try {
          return sealedFor(await encryptOnce(version, plaintext, signal));
        } catch (error) {
          if (isRotated(error)) await lookNow();
          throw error;
        }
      }
      const sealed = await encryptOnce(undefined, plaintext, signal);
      if (sealed.version !== Number(version)) adopt(sealed.version);
      if (version === undefined || sealed.version === Number(version)) return sealedFor(sealed);
      return sealedFor(await encryptOnce(version, plaintext, signal));
    },

    decrypt: async (wrapped, signal) => {
      const { text, version } = openableCiphertext(wrapped.ciphertext, keyName);
      const { baoKmsProvider, namespace } = options;
      const boundOnce = isBaoValue(wrapped)
        ? { ...bound, associated_data: baoAssociatedData(wrapped, baoKmsProvider, namespace, version) }
        : bound;
      const answer = await session.call(
        { method: 'POST', path: decryptPath, body: { ciphertext: text, ...boundOnce } },
        signal,
      );
      const plaintext = dataOf(answer)['plaintext'];
      if (typeof plaintext !== 'string' || !isCanonicalBase64(plaintext))
        throw garbledVaultAnswer('answer lacks plaintext');
      return Buffer.from(plaintext, 'base64');
    },

    recognizes: ({ ciphertext }) => parseTransitCiphertext(ciphertext, keyName) !== undefined,

    describe: async (signal) => {
      if (cancelPoll === undefined) pollLater();
      const now = await readKey(signal);
      if (now.kind === 'read') return conditionOf(now.key);
      if (now.kind === 'gone') return { state: 'gone', warnings: [] };
      return {
        state: 'usable',
        warnings: ['The token may not read the key; allow it read on keys/KEY to be warned in time.'],
      };
    },

    reload: async () => {
      await http.reload();
      await session.reload();
      if (known.kind !== 'unread') await look();
    },

    close: async () => {
      closed = true;
      cancelPoll?.();
      session.close();
      http.close();
    },
  };
}

/** An older version that may not encrypt any more means a rotation nobody has seen yet. */
function isRotated(error: unknown): boolean {
  return error instanceof ProviderError && error.reason.includes('encryption key version');
}

interface Sealed {
  readonly version: number;
  readonly text: string;
}

const sealedFor = ({
  text,
}: Sealed): { ciphertext: Buffer; annotations: Readonly<Record<string, Buffer>> } => ({
  ciphertext: Buffer.from(text, 'latin1'),
  annotations: {},
});

function dataOf(answer: VaultAnswer): Readonly<Record<string, unknown>> {
  const data = answer['data'];
  if (typeof data !== 'object' || data === null) throw garbledVaultAnswer('answer lacks data');
  return data as Readonly<Record<string, unknown>>;
}

function sealedOf(answer: VaultAnswer): Sealed {
  const text = dataOf(answer)['ciphertext'];
  const sealed =
    typeof text === 'string' ? parseTransitCiphertext(Buffer.from(text, 'utf8'), 'vault') : undefined;
  if (sealed === undefined) throw garbledVaultAnswer('answer lacks ciphertext');
  return sealed;
}

function base64Option(
  option: string,
  field: string,
  value: string | undefined,
): Readonly<Record<string, string>> {
  if (value === undefined) return {};
  if (value === '' || !isCanonicalBase64(value))
    throw new KmsPluginError('invalid_options', `${option} must be base64.`);
  return { [field]: value };
}
