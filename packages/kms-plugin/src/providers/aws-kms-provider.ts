/** Wrapping with a KMS that speaks AWS's protocol, whichever way the calls travel. */
import { KmsPluginError, ProviderError, toProviderError, type Failure } from '../errors.js';
import type { Provider } from '../provider.js';
import { createSnapshot } from '../snapshot.js';
import { addPrefix, hasBlob, removePrefix } from './aws-ciphertext.js';
import { conditionWithoutAsking, toKeyCondition } from './aws-key-condition.js';
import type { AwsKmsCalls } from './aws-kms-calls.js';

export interface AwsKeyOptions {
  /** Key ARN, key id, alias ARN or alias name; answered verbatim as the keyId of Status and Encrypt. */
  readonly keyId: string;
  /** Bound to every ciphertext; must stay the same for as long as values are to be read. Empty by default. */
  readonly encryptionContext?: Readonly<Record<string, string>>;
  /**
   * Key ARNs or key ids whose ciphertexts may be opened; all that the credentials may open by default. An alias cannot be
   * compared with what the key service answers and is refused here.
   */
  readonly decryptKeyIds?: readonly string[];
}

const foreignKey: Failure = {
  class: 'corrupt',
  code: 'failed_precondition',
  advice: 'The ciphertext belongs to a key that is not on the list of keys to decrypt with.',
};

const otherKey: Failure = {
  class: 'internal',
  code: 'internal',
  advice: 'The key service used another key than it was asked to; check the endpoint.',
};

/** @throws KmsPluginError `invalid_options` */
export function createAwsKmsProvider(name: string, key: AwsKeyOptions, calls: AwsKmsCalls): Provider {
  const snapshot = createSnapshot({ keyId: key.keyId, encryptionContext: key.encryptionContext ?? {} });
  const decryptKeys = key.decryptKeyIds?.map((id) => {
    if (!isAlias(id)) return id;
    throw new KmsPluginError(
      'invalid_options',
      `"${id}" is an alias. Name the keys to decrypt with by ARN or key id.`,
    );
  });

  return {
    name,
    snapshot: () => snapshot,

    encrypt: async ({ keyId, encryptionContext }, plaintext, signal) => {
      const answer = await calls.encrypt({ keyId, plaintext, encryptionContext }, signal);
      if (!isAlias(keyId) && !sameKey(keyId, answer.keyId)) {
        throw new ProviderError('another key answered Encrypt', otherKey);
      }
      return { ciphertext: addPrefix(answer.ciphertextBlob), annotations: {} };
    },

    decrypt: async ({ ciphertext, version }, signal) => {
      const ciphertextBlob = removePrefix(ciphertext, version);
      const { encryptionContext } = snapshot;
      const answer = await calls.decrypt({ ciphertextBlob, encryptionContext }, signal);
      if (decryptKeys !== undefined && !decryptKeys.some((id) => sameKey(id, answer.keyId))) {
        answer.plaintext.fill(0);
        throw new ProviderError('key not allowed', foreignKey);
      }
      return answer.plaintext;
    },

    describe: async (signal) => {
      const { keyId } = snapshot;
      try {
        return toKeyCondition(await calls.describeKey(keyId, signal));
      } catch (error) {
        const unasked = conditionWithoutAsking(toProviderError(error));
        if (unasked !== undefined) return unasked;
        throw error;
      }
    },

    recognizes: ({ ciphertext, version }) => hasBlob(ciphertext, version),

    reload: () => calls.reload(),
    close: async () => {
      calls.close();
    },
  };
}

function isAlias(keyId: string): boolean {
  return keyId.startsWith('alias/') || keyId.includes(':alias/');
}

/** @param answered the key ARN that every answer of AWS KMS carries */
function sameKey(keyId: string, answered: string): boolean {
  return answered === keyId || answered.endsWith(`:key/${keyId}`);
}
