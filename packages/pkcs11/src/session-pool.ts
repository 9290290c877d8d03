/**
 * The sessions of one open token: a bounded number, one operation in each at a time, logged in; and what happens when they are lost.
 *
 * A session that is gone is found out by the call that fails: the token is looked for again, every session of before is given up, and
 * the operation runs once more. A refused PIN (token-login.ts) closes the pool to everybody.
 */
import { CKF, CKR } from './constants.js';
import type { Cryptoki } from './cryptoki.js';
import { Pkcs11Error, type Pkcs11ErrorCode } from './errors.js';
import { readUlong, ULONG_BYTES } from './native-memory.js';
import { errorOf } from './return-values.js';
import { TokenLogin } from './token-login.js';

export interface Session {
  readonly handle: number;
  /** Grows when the token was lost: object handles of an earlier generation may mean nothing now. */
  readonly generation: number;
}

export interface SessionPoolOptions {
  readonly cryptoki: Cryptoki;
  /** The token's slot now; asked again after the token was lost. */
  locate(): Promise<number>;
  /** Other open pools of the same token: a login they made is not repeated, so a PIN is compared with theirs. */
  siblings(): Iterable<SessionPool>;
  /** Owned by the pool. */
  readonly pin: Buffer;
  readonly maxSessions: number;
  readonly maxWaiting: number;
  readonly timeoutMs: number;
}

/** After these the session is as good as before. */
const HARMLESS: ReadonlySet<Pkcs11ErrorCode> = new Set([
  'ciphertext-invalid',
  'data-invalid',
  'invalid-option',
  'key-ambiguous',
  'key-forbids',
  'key-not-found',
  'mechanism-unsupported',
]);

interface Deadline {
  /** Rejects when the time is over. */
  readonly over: Promise<never>;
  stop(): void;
}

interface Waiter {
  resolve(session: Session): void;
  reject(error: Pkcs11Error): void;
}

export class SessionPool {
  readonly #options: SessionPoolOptions;
  readonly #idle: Session[] = [];
  readonly #waiting: Waiter[] = [];
  #maxSessions: number;
  /** Idle, busy and opening. */
  #opened = 0;
  #generation = 1;
  #slotId: number;
  readonly #login: TokenLogin;
  #recovering: Promise<void> | undefined;
  #closed = false;
  #drained: (() => void) | undefined;

  constructor(slotId: number, options: SessionPoolOptions) {
    this.#slotId = slotId;
    this.#options = options;
    this.#maxSessions = options.maxSessions;
    this.#login = new TokenLogin({
      cryptoki: options.cryptoki,
      pin: options.pin,
      siblings: () => [...options.siblings()].map((sibling) => sibling.#login),
      onRefused: (error) => {
        for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
      },
    });
  }

  /**
   * Runs an operation in a session of its own. After a lost session, login or token the operation runs once more.
   * @param once for operations that must not run twice, like making a key
   * @throws Pkcs11Error
   */
  async run<T>(operation: (session: Session) => Promise<T>, once = false): Promise<T> {
    const deadline = startDeadline(this.#options.timeoutMs);
    const generation = this.#generation;
    try {
      return await this.#attempt(operation, deadline);
    } catch (error) {
      if (!(error instanceof Pkcs11Error && error.code === 'token-gone') || this.#closed) throw error;
      await Promise.race([this.#recover(generation), deadline.over]);
      if (once) throw error;
      return await this.#attempt(operation, deadline);
    } finally {
      deadline.stop();
    }
  }

  /** Resolves when every session is closed; an operation that hangs is left after the timeout. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const waiter of this.#waiting.splice(0)) waiter.reject(closedError());
    await Promise.all(this.#idle.splice(0).map((session) => this.#discard(session)));
    if (this.#opened > 0) {
      const drained = new Promise<void>((resolve) => (this.#drained = resolve));
      const deadline = startDeadline(this.#options.timeoutMs);
      await Promise.race([drained, deadline.over]).catch(() => undefined);
      deadline.stop();
    }
    this.#login.end();
  }

  async #attempt<T>(operation: (session: Session) => Promise<T>, deadline: Deadline): Promise<T> {
    const session = await this.#acquire(deadline);
    // An operation that goes on behind its deadline keeps its session until the module returns.
    return Promise.race([this.#runIn(session, operation), deadline.over]);
  }

  async #runIn<T>(session: Session, operation: (session: Session) => Promise<T>): Promise<T> {
    let usable = true;
    try {
      return await operation(session);
    } catch (error) {
      usable = error instanceof Pkcs11Error && HARMLESS.has(error.code);
      throw error;
    } finally {
      if (usable) this.#release(session);
      else await this.#discard(session);
    }
  }

  async #acquire(deadline: Deadline): Promise<Session> {
    this.#assertUsable();
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    if (this.#opened >= this.#maxSessions) return this.#wait(deadline);
    this.#opened++;
    const opening = this.#open();
    try {
      return await Promise.race([opening, deadline.over]);
    } catch (error) {
      if (isPkcs11(error, 'timeout')) {
        // The module may still answer: then the session serves somebody else.
        opening.then(
          (session) => this.#release(session),
          () => this.#forgetOne(),
        );
        throw error;
      }
      if (this.#lowerMaximum(error)) return this.#wait(deadline);
      this.#forgetOne();
      throw error;
    }
  }

  #wait(deadline: Deadline): Promise<Session> {
    const { maxWaiting } = this.#options;
    if (this.#waiting.length >= maxWaiting) {
      throw new Pkcs11Error(
        'timeout',
        `${maxWaiting} operations wait for the token already. Send fewer at a time, or allow more sessions.`,
      );
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { resolve, reject };
      this.#waiting.push(waiter);
      deadline.over.catch((error: unknown) => {
        const place = this.#waiting.indexOf(waiter);
        if (place < 0) return;
        this.#waiting.splice(place, 1);
        reject(error instanceof Error ? error : closedError());
      });
    });
  }

  async #open(): Promise<Session> {
    const { cryptoki } = this.#options;
    const generation = this.#generation;
    const handle = await cryptoki.withMemory(async (memory) => {
      const out = memory.reserve(ULONG_BYTES);
      const open = (flags: number): Promise<number> =>
        cryptoki.call('C_OpenSession', this.#slotId, flags, null, null, out);
      let rv = await open(CKF.CKF_SERIAL_SESSION | CKF.CKF_RW_SESSION);
      if (rv === CKR.CKR_TOKEN_WRITE_PROTECTED) rv = await open(CKF.CKF_SERIAL_SESSION);
      if (rv !== CKR.CKR_OK) throw errorOf(rv, 'C_OpenSession');
      return readUlong(out);
    });
    if (handle === undefined) throw errorOf(CKR.CKR_GENERAL_ERROR, 'C_OpenSession');
    try {
      await this.#login.ensure(handle);
    } catch (error) {
      await cryptoki.call('C_CloseSession', handle);
      throw error;
    }
    return { handle, generation };
  }

  /** Finds the token again, and gives up every session from before. */
  #recover(generation: number): Promise<void> {
    if (generation !== this.#generation) return Promise.resolve();
    this.#recovering ??= (async () => {
      try {
        this.#slotId = await this.#options.locate();
        this.#generation++;
        await Promise.all(this.#idle.splice(0).map((session) => this.#discard(session)));
      } finally {
        this.#recovering = undefined;
      }
    })();
    return this.#recovering;
  }

  #release(session: Session): void {
    if (this.#closed || session.generation !== this.#generation) {
      void this.#discard(session);
      return;
    }
    const waiter = this.#waiting.shift();
    if (waiter === undefined) this.#idle.push(session);
    else waiter.resolve(session);
  }

  async #discard(session: Session): Promise<void> {
    // A session that is gone already cannot be closed, and that is all right.
    await this.#options.cryptoki.call('C_CloseSession', session.handle).catch(() => undefined);
    this.#forgetOne();
  }

  /** One session fewer: somebody who waits may open another. */
  #forgetOne(): void {
    this.#opened--;
    this.#maxSessions = this.#options.maxSessions;
    if (this.#opened === 0) this.#drained?.();
    if (this.#closed || this.#waiting.length === 0 || this.#opened >= this.#maxSessions) return;
    this.#opened++;
    this.#open().then(
      (session) => this.#release(session),
      (error: unknown) => {
        if (this.#lowerMaximum(error)) return;
        const waiter = this.#waiting.shift();
        this.#forgetOne();
        waiter?.reject(
          error instanceof Pkcs11Error ? error : errorOf(CKR.CKR_GENERAL_ERROR, 'C_OpenSession'),
        );
      },
    );
  }

  /** A token out of sessions while we have some: those must do until one is closed. False for every other failure to open one. */
  #lowerMaximum(error: unknown): boolean {
    const outOfSessions = error instanceof Pkcs11Error && error.rv === 'CKR_SESSION_COUNT';
    if (!outOfSessions || this.#opened < 2) return false;
    this.#opened--;
    this.#maxSessions = this.#opened;
    return true;
  }

  #assertUsable(): void {
    if (this.#closed) throw closedError();
    if (this.#login.refusal !== undefined) throw this.#login.refusal;
  }
}

function isPkcs11(error: unknown, code: Pkcs11ErrorCode): boolean {
  return error instanceof Pkcs11Error && error.code === code;
}

function closedError(): Pkcs11Error {
  return new Pkcs11Error('closed', 'The token has been closed. Open it again.');
}

function startDeadline(timeoutMs: number): Deadline {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new Pkcs11Error(
            'timeout',
            `The token did not answer within ${timeoutMs} ms. Check that it is reachable.`,
          ),
        ),
      timeoutMs,
    );
  });
  // Whoever races against it hears of it; nobody else must.
  over.catch(() => undefined);
  return { over, stop: () => clearTimeout(timer) };
}
