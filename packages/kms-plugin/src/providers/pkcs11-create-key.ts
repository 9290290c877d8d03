/** Makes the next key of a label on a token: numbered behind the others, never extractable, for one mechanism only. */
import { ProviderError, type Failure } from '../errors.js';
import { createTokenConnection, type TokenChoice } from './pkcs11-connection.js';
import { classifyPkcs11 } from './pkcs11-errors.js';
import { wrapMechanisms, type Pkcs11Mechanism } from './pkcs11-mechanisms.js';

export interface Pkcs11KeyOptions extends TokenChoice {
  /** CKA_LABEL */
  readonly keyLabel: string;
  readonly mechanism: Pkcs11Mechanism;
  /** CKA_END_DATE, a day in UTC; none by default. */
  readonly endDate?: Date | undefined;
}

const aesKeyBytes = 32;
const modulusBits = 3072;
const countedIdMaxBytes = 8;

const unordered: Failure = {
  class: 'user-induced',
  code: 'failed_precondition',
  advice: 'A key of this label has a CKA_ID that is no number; make the new key with the tool of the token.',
};

/**
 * Makes an AES-256 or RSA-3072 key, as the mechanism needs. Its CKA_ID is one more than the highest of the label, so that it is the one that
 * writes after a reload.
 *
 * @returns its CKA_ID
 * @throws ProviderError
 */
export async function createPkcs11Key(options: Pkcs11KeyOptions): Promise<Buffer> {
  const connection = createTokenConnection(options);
  try {
    const token = await connection.token();
    const named = { label: options.keyLabel, endDate: options.endDate };
    const id = nextId((await token.findKeys({ label: options.keyLabel })).map((key) => key.id));
    if (wrapMechanisms[options.mechanism].keyType === 'rsa') {
      await token.generateRsaKeyPair({ ...named, id, modulusBits, encryptDecrypt: true });
    } else {
      const encryptDecrypt = options.mechanism === 'aes-gcm';
      await token.generateAesKey({
        ...named,
        id,
        bytes: aesKeyBytes,
        encryptDecrypt,
        wrapUnwrap: !encryptDecrypt,
      });
    }
    return id;
  } catch (error) {
    throw classifyPkcs11(error);
  } finally {
    await connection.close();
  }
}

function nextId(ids: readonly Buffer[]): Buffer {
  if (ids.some((id) => id.length === 0 || id.length > countedIdMaxBytes)) {
    throw new ProviderError('CKA_ID is no number', unordered);
  }
  const highest = ids
    .map((id) => BigInt(`0x${id.toString('hex')}`))
    .reduce((high, id) => (id > high ? id : high), 0n);
  const hex = (highest + 1n).toString(16);
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
}
