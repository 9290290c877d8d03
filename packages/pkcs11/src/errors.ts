/**
 * Failures of a PKCS#11 module, told so that the operator knows what to do. The mapping from return values (CKR_…) is
 * in return-values.ts.
 */

export type Pkcs11ErrorCode =
  | 'platform-unsupported'
  | 'module-unreadable'
  | 'token-not-found'
  | 'token-ambiguous'
  | 'pin-incorrect'
  | 'pin-locked'
  | 'key-not-found'
  | 'key-ambiguous'
  | 'mechanism-unsupported'
  | 'key-forbids'
  | 'data-invalid'
  | 'ciphertext-invalid'
  | 'token-gone'
  | 'token-full'
  | 'token-failed'
  | 'timeout'
  | 'closed'
  | 'invalid-option';

/** `message` says what is wrong and what to do about it; it never holds a PIN, key material or data. */
export class Pkcs11Error extends Error {
  override readonly name = 'Pkcs11Error';
  readonly code: Pkcs11ErrorCode;
  /** What the module answered, e.g. `CKR_PIN_INCORRECT`; absent when it was not asked. */
  readonly rv: string | undefined;
  constructor(
    code: Pkcs11ErrorCode,
    message: string,
    options?: ErrorOptions & { readonly rv?: string | undefined },
  ) {
    super(message, options);
    this.code = code;
    this.rv = options?.rv;
  }
}
