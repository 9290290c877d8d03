/**
 * The login of one open token.
 *
 * It belongs to the process and token, not to a session (PKCS#11 2.40 §2.3.4): it ends when the last session closes, when anybody logs
 * out, or when the token is removed. So every new session is asked for its state and logged in when it must be. A refused PIN is never
 * sent again, since tokens lock after a few.
 */
import { timingSafeEqual } from 'node:crypto';
import { CKR, CKS_USER_FUNCTIONS, CKU_USER } from './constants.js';
import type { Cryptoki } from './cryptoki.js';
import type { Pkcs11Error } from './errors.js';
import { readUlong, ULONG_BYTES } from './native-memory.js';
import { errorOf } from './return-values.js';

export interface TokenLoginOptions {
  readonly cryptoki: Cryptoki;
  /** Owned by the login. */
  readonly pin: Buffer;
  /** Of the same token, in this process. */
  readonly siblings: () => Iterable<TokenLogin>;
  /** Once. */
  readonly onRefused: (error: Pkcs11Error) => void;
}

/** CK_SESSION_INFO: slot, state, flags, device error. */
const SESSION_INFO_BYTES = 4 * ULONG_BYTES;

export class TokenLogin {
  readonly #options: TokenLoginOptions;
  #running: Promise<void> = Promise.resolve();
  /** The token accepted this PIN, from us or from a sibling. */
  #verified = false;
  #refusal: Pkcs11Error | undefined;

  constructor(options: TokenLoginOptions) {
    this.#options = options;
  }

  /** Why the token does not take the PIN; from then on nobody is logged in. */
  get refusal(): Pkcs11Error | undefined {
    return this.#refusal;
  }

  /**
   * Has a session logged in. One at a time: two with a wrong PIN would spend two of the tries a token gives.
   * @throws Pkcs11Error pin-incorrect, pin-locked, token-gone
   */
  ensure(session: number): Promise<void> {
    const login = this.#running.then(() => this.#logIn(session));
    this.#running = login.catch(() => undefined);
    return login;
  }

  /** Zeroes the PIN. The login itself ends with the last session. */
  end(): void {
    this.#options.pin.fill(0);
    this.#verified = false;
  }

  async #logIn(session: number): Promise<void> {
    if (this.#refusal !== undefined) throw this.#refusal;
    let rv = (await this.#isLoggedIn(session))
      ? CKR.CKR_USER_ALREADY_LOGGED_IN
      : await this.#sendPin(session);
    if (rv === CKR.CKR_USER_ALREADY_LOGGED_IN) {
      if (this.#verified || this.#isPinOfSibling()) rv = CKR.CKR_OK;
      else {
        // Nobody holds this login any more, as after an operation that hung: it proves nothing about our PIN.
        await this.#options.cryptoki.call('C_Logout', session);
        rv = await this.#sendPin(session);
      }
    }
    if (rv !== CKR.CKR_OK) throw this.#note(errorOf(rv, 'C_Login'));
    this.#verified = true;
  }

  #isLoggedIn(session: number): Promise<boolean> {
    const { cryptoki } = this.#options;
    return cryptoki.withMemory(async (memory) => {
      const info = memory.reserve(SESSION_INFO_BYTES);
      await cryptoki.checked('C_GetSessionInfo', session, info);
      return CKS_USER_FUNCTIONS.has(readUlong(info, ULONG_BYTES) ?? -1);
    });
  }

  #sendPin(session: number): Promise<number> {
    const { cryptoki, pin } = this.#options;
    return cryptoki.withMemory((memory) =>
      // Without a PIN the token asks for it by its own means (CKF_PROTECTED_AUTHENTICATION_PATH).
      cryptoki.call('C_Login', session, CKU_USER, pin.length === 0 ? null : memory.copy(pin), pin.length),
    );
  }

  /**
   * The token asks nobody for a PIN while anybody is logged in: then it must be the PIN that was accepted. False: none of
   * ours is known to have logged in. @throws Pkcs11Error pin-incorrect
   */
  #isPinOfSibling(): boolean {
    const { pin, siblings } = this.#options;
    const holders = [...siblings()].filter((sibling) => sibling.#verified);
    if (holders.length === 0) return false;
    if (holders.some((sibling) => sibling.#accepts(pin))) return true;
    throw this.#note(errorOf(CKR.CKR_PIN_INCORRECT, 'compared with the PIN of a running login'));
  }

  #accepts(pin: Buffer): boolean {
    const own = this.#options.pin;
    return own.length === pin.length && timingSafeEqual(own, pin);
  }

  #note(error: Pkcs11Error): Pkcs11Error {
    if (error.code === 'pin-incorrect' || error.code === 'pin-locked') {
      this.#refusal = error;
      this.#options.onRefused(error);
    }
    return error;
  }
}
