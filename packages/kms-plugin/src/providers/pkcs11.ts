/**
 * A key that never leaves a hardware security module, a smart card or SoftHSM2, reached through PKCS#11.
 *
 * Several keys may have the configured label: one of them writes (pkcs11-keys.ts), all of them read. Calls into the module run off the
 * event loop. docs/formats/kms-plugin-pkcs11.md gives the ciphertext and the key id.
 */
import { randomBytes as systemRandomBytes } from 'node:crypto';
import type { Token } from '@waxseal/pkcs11';
import { KmsPluginError, ProviderError, unopenable, type Failure } from '../errors.js';
import type { Provider } from '../provider.js';
import { createSnapshot, noKeyYet, type KeySnapshot } from '../snapshot.js';
import {
  messageKeyBytes,
  openPkcs11,
  parsePkcs11Ciphertext,
  pkcs11Head,
  sealPkcs11,
} from './pkcs11-ciphertext.js';
import { describePkcs11Key } from './pkcs11-condition.js';
import { createTokenConnection, type TokenChoice } from './pkcs11-connection.js';
import { classifyPkcs11 } from './pkcs11-errors.js';
import { chooseWriter, findUnwrapKey, fingerprintOf, type WriterChoice } from './pkcs11-keys.js';
import {
  unwrapOnToken,
  wrapMechanisms,
  wrapOnToken,
  type Pkcs11Mechanism,
  type WrapKey,
} from './pkcs11-mechanisms.js';

export interface Pkcs11ProviderOptions extends TokenChoice, WriterChoice {
  /** How long the first try to open the token may hold up the start; 1000 by default. It goes on behind that. */
  readonly startTimeoutMs?: number | undefined;
  readonly randomBytes?: (sizeBytes: number) => Buffer;
  /** Milliseconds since 1970. */
  readonly nowMs?: () => number;
}

interface Writer {
  readonly key: WrapKey;
  readonly fingerprint: string;
  readonly snapshot: KeySnapshot;
}

/** How often the writing key is compared with what it was: somebody may have put another one under its name. */
const recheckMs = 60_000;
const defaultStartTimeoutMs = 1000;
const labelMaxBytes = 255;

const keyMissing: Failure = {
  class: 'corrupt',
  code: 'failed_precondition',
  advice: 'The ciphertext names a key that the token does not have under this label; put it back to read it.',
};
const otherMechanism: Failure = {
  class: 'corrupt',
  code: 'failed_precondition',
  advice:
    'The token cannot do with this key what the ciphertext was made with; allow that mechanism to read it.',
};
const keyChanged: Failure = {
  class: 'unavailable',
  code: 'unavailable',
  advice: 'The key on the token is another one than before; the call can be tried again.',
};

/**
 * Resolves once the token is open, or could not be opened: then it is tried again by every call, and the snapshot names no key until it
 * succeeds.
 *
 * @throws KmsPluginError `invalid_options`
 */
export async function createPkcs11Provider(options: Pkcs11ProviderOptions): Promise<Provider> {
  checkOptions(options);
  const randomBytes = options.randomBytes ?? systemRandomBytes;
  const nowMs = options.nowMs ?? Date.now;
  const connection = createTokenConnection(options);
  let writer: Writer | undefined;
  let checkedAtMs = 0;
  let checking: Promise<Writer> | undefined;
  /** Every snapshot that was given out and whose key is still what it was. */
  const keys = new WeakMap<KeySnapshot, WrapKey>();

  const choose = async (token: Token): Promise<Writer> => {
    const key = await chooseWriter(token, options);
    const fingerprint = await fingerprintOf(token, key);
    const keyId = ['pkcs11', encodeURIComponent(options.keyLabel), key.id.toString('hex'), fingerprint].join(
      ':',
    );
    if (writer?.snapshot.keyId === keyId) return { key, fingerprint, snapshot: writer.snapshot };
    return { key, fingerprint, snapshot: createSnapshot({ keyId, keyVersion: key.id.toString('hex') }) };
  };

  const use = (chosen: Writer): Writer => {
    keys.set(chosen.snapshot, chosen.key);
    writer = chosen;
    checkedAtMs = nowMs();
    return chosen;
  };

  /** A key added meanwhile waits for a reload; one that was replaced or removed does not. */
  const recheck = async (token: Token): Promise<Writer> => {
    const known = writer;
    if (known !== undefined) {
      const same = (await fingerprintOf(token, known.key).catch(gone)) === known.fingerprint;
      if (same) return use(known);
      keys.delete(known.snapshot);
    }
    return use(await choose(token));
  };

  const currentWriter = (token: Token): Promise<Writer> => {
    if (writer !== undefined && nowMs() - checkedAtMs < recheckMs) return Promise.resolve(writer);
    return (checking ??= recheck(token).finally(() => (checking = undefined)));
  };

  const onToken = async <T>(run: (token: Token) => Promise<T>): Promise<T> => {
    let token: Token | undefined;
    try {
      token = await connection.token();
      return await run(token);
    } catch (error) {
      if (token !== undefined) connection.failed(token, error);
      throw classifyPkcs11(error);
    }
  };

  await within(
    options.startTimeoutMs ?? defaultStartTimeoutMs,
    onToken(currentWriter).catch(() => undefined),
  );

  /** The type of the key that writes; one of the other type under the same label opens nothing. */
  const keyType = (): 'aes' | 'rsa' | undefined => {
    const mechanism = options.mechanism ?? writer?.key.mechanism;
    return mechanism === undefined ? undefined : wrapMechanisms[mechanism].keyType;
  };

  return {
    name: 'pkcs11',
    get forgeable() {
      return keyType() !== 'aes';
    },
    snapshot: () => writer?.snapshot ?? noKeyYet,

    encrypt: (snapshot, plaintext) =>
      onToken(async (token) => {
        await currentWriter(token);
        const key = keys.get(snapshot);
        if (key === undefined) throw new ProviderError('key changed', keyChanged);
        const messageKey = randomBytes(messageKeyBytes);
        try {
          const head = pkcs11Head(key.mechanism, key.id);
          const wrapped = await wrapOnToken(token, key, messageKey, head, randomBytes);
          return { ciphertext: sealPkcs11(head, wrapped, messageKey, plaintext), annotations: {} };
        } finally {
          messageKey.fill(0);
        }
      }),

    decrypt: async ({ ciphertext }) => {
      const parts = parsePkcs11Ciphertext(ciphertext);
      if (parts === undefined) throw new ProviderError('not a pkcs11 ciphertext', unopenable);
      const { mechanism, keyId, wrapped, head } = parts;
      const opens = keyType();
      if (opens !== undefined && wrapMechanisms[mechanism].keyType !== opens) {
        throw new ProviderError('key of another type', keyMissing);
      }
      return onToken(async (token) => {
        const known = writer?.key;
        const unwraps =
          known !== undefined && known.mechanism === mechanism && known.id.equals(keyId)
            ? known.unwraps
            : await findUnwrapKey(token, mechanism, options.keyLabel, keyId);
        if (unwraps === undefined) throw new ProviderError('key not on token', keyMissing);
        const messageKey = await unwrapOnToken(token, { mechanism, unwraps }, wrapped, head).catch(
          (error: unknown) => {
            throw ofForeignMechanism(error, mechanism, known?.mechanism);
          },
        );
        try {
          const plaintext = messageKey.length === messageKeyBytes ? openPkcs11(parts, messageKey) : undefined;
          if (plaintext === undefined) throw new ProviderError('authentication failed', unopenable);
          return plaintext;
        } finally {
          messageKey.fill(0);
        }
      });
    },

    recognizes: ({ ciphertext }) => parsePkcs11Ciphertext(ciphertext) !== undefined,

    describe: () =>
      onToken(async (token) => describePkcs11Key(token, (await currentWriter(token)).key, nowMs())),

    reload: async () => {
      let token: Token | undefined;
      try {
        token = await connection.openAnother();
        use(await choose(token));
      } catch (error) {
        await token?.close();
        throw classifyPkcs11(error);
      }
      await connection.adopt(token);
    },

    close: () => connection.close(),
  };
}

function checkOptions({ modulePath, keyLabel, keyId }: Pkcs11ProviderOptions): void {
  const problem = !modulePath.startsWith('/')
    ? 'the path of the PKCS#11 module must be absolute'
    : keyLabel === '' || Buffer.byteLength(keyLabel) > labelMaxBytes
      ? `the label of the key must have 1 to ${labelMaxBytes} bytes`
      : keyId !== undefined && (keyId.length === 0 || keyId.length > 255)
        ? 'the CKA_ID of the key must have 1 to 255 bytes'
        : undefined;
  if (problem !== undefined)
    throw new KmsPluginError('invalid_options', `The token cannot be used: ${problem}.`);
}

/** A key that is not there has no fingerprint; anything else is the token's trouble. */
function gone(error: unknown): undefined {
  if (classifyPkcs11(error).failure.class === 'user-induced') return undefined;
  throw error;
}

/** What the token cannot do with a mechanism it does not write with says nothing against the key that writes. */
function ofForeignMechanism(
  error: unknown,
  used: Pkcs11Mechanism,
  writes: Pkcs11Mechanism | undefined,
): unknown {
  const failed = classifyPkcs11(error);
  if (used === writes || failed.failure.class !== 'user-induced') return error;
  return new ProviderError(failed.reason, otherMechanism, error);
}

function within(timeoutMs: number, work: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, timeoutMs);
    void work.finally(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
