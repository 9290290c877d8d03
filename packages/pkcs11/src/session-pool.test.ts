/**
 * Goal: sessions are bounded, logged in, given up when lost, and a PIN is never tried twice. Method: a token made of a few variables,
 * whose answers a test changes; every call to it is counted.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CKR } from './constants.js';
import type { Argument, Cryptoki, CryptokiFunction } from './cryptoki.js';
import { Pkcs11Error, type Pkcs11ErrorCode } from './errors.js';
import { createNativeMemory } from './native-memory.js';
import { errorOf } from './return-values.js';
import { type Session, SessionPool, type SessionPoolOptions } from './session-pool.js';

const PIN = '1234';

class FakeToken implements Cryptoki {
  readonly path = '/fake.so';
  readonly calls: CryptokiFunction[] = [];
  readonly sessions = new Set<number>();
  loggedIn = false;
  present = true;
  pin = PIN;
  maxSessions = 100;
  /** Resolves before C_OpenSession answers. */
  opening: Promise<void> = Promise.resolve();
  #next = 1;

  readonly call = async (name: CryptokiFunction, ...args: readonly Argument[]): Promise<number> => {
    this.calls.push(name);
    const session = Number(args[0]);
    switch (name) {
      case 'C_OpenSession': {
        await this.opening;
        if (!this.present) return CKR.CKR_TOKEN_NOT_PRESENT;
        if (this.sessions.size >= this.maxSessions) return CKR.CKR_SESSION_COUNT;
        const handle = this.#next++;
        this.sessions.add(handle);
        bufferOf(args[4]).writeBigUInt64LE(BigInt(handle));
        return CKR.CKR_OK;
      }
      case 'C_CloseSession':
        this.sessions.delete(session);
        if (this.sessions.size === 0) this.loggedIn = false;
        return CKR.CKR_OK;
      case 'C_GetSessionInfo':
        if (!this.sessions.has(session)) return CKR.CKR_SESSION_HANDLE_INVALID;
        bufferOf(args[1]).writeBigUInt64LE(this.loggedIn ? 3n : 2n, 8);
        return CKR.CKR_OK;
      case 'C_Logout':
        this.loggedIn = false;
        return CKR.CKR_OK;
      case 'C_Login':
        if (this.loggedIn) return CKR.CKR_USER_ALREADY_LOGGED_IN;
        if (bufferOf(args[2]).toString() !== this.pin) return CKR.CKR_PIN_INCORRECT;
        this.loggedIn = true;
        return CKR.CKR_OK;
      default:
        return CKR.CKR_FUNCTION_NOT_SUPPORTED;
    }
  };

  readonly checked = async (name: CryptokiFunction, ...args: readonly Argument[]): Promise<void> => {
    const rv = await this.call(name, ...args);
    if (rv !== CKR.CKR_OK) throw errorOf(rv, name);
  };

  async withMemory<T>(use: (memory: ReturnType<typeof createNativeMemory>) => Promise<T>): Promise<T> {
    return use(createNativeMemory(() => 1n));
  }

  count(name: CryptokiFunction): number {
    return this.calls.filter((call) => call === name).length;
  }

  /** The token was pulled out and put back: no session and no login of before is left. */
  replug(): void {
    this.sessions.clear();
    this.loggedIn = false;
  }

  /** An operation that needs a session of now. */
  readonly use = async ({ handle }: Session): Promise<number> => {
    if (!this.present) throw errorOf(CKR.CKR_DEVICE_REMOVED, 'C_Encrypt');
    if (!this.sessions.has(handle)) throw errorOf(CKR.CKR_SESSION_HANDLE_INVALID, 'C_Encrypt');
    if (!this.loggedIn) throw errorOf(CKR.CKR_USER_NOT_LOGGED_IN, 'C_Encrypt');
    return handle;
  };
}

function bufferOf(argument: Argument | undefined): Buffer {
  assert.ok(Buffer.isBuffer(argument));
  return argument;
}

function open(token: FakeToken, options: Partial<SessionPoolOptions> = {}): SessionPool {
  return new SessionPool(0, {
    cryptoki: token,
    locate: async () => {
      if (token.present) return 0;
      throw new Pkcs11Error('token-gone', 'The token is gone.');
    },
    siblings: () => [],
    pin: Buffer.from(PIN),
    maxSessions: 2,
    maxWaiting: 10,
    timeoutMs: 2_000,
    ...options,
  });
}

const refused = (code: Pkcs11ErrorCode) => (error: unknown) =>
  error instanceof Pkcs11Error && error.code === code;

/** A promise and what settles it. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let openIt: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (openIt = resolve));
  return { opened, open: openIt };
}

test('sessions are bounded, reused, and logged in once', async () => {
  const token = new FakeToken();
  const pool = open(token);
  let busy = 0;
  let most = 0;
  const handles = await Promise.all(
    Array.from({ length: 12 }, () =>
      pool.run(async (session) => {
        most = Math.max(most, ++busy);
        await new Promise((resolve) => setImmediate(resolve));
        busy--;
        return token.use(session);
      }),
    ),
  );
  assert.equal(most, 2);
  assert.deepEqual(new Set(handles), new Set([1, 2]));
  assert.equal(token.count('C_Login'), 1);
  await pool.close();
  assert.equal(token.sessions.size, 0);
});

test('after a lost token the operation runs once more, in new sessions, logged in again', async () => {
  const token = new FakeToken();
  const pool = open(token);
  await pool.run(token.use);
  token.replug();
  const generations: number[] = [];
  await pool.run((session) => {
    generations.push(session.generation);
    return token.use(session);
  });
  assert.deepEqual(generations, [1, 2]);
  assert.equal(token.count('C_Login'), 2);
});

test('after a logout by somebody else the operation runs once more', async () => {
  const token = new FakeToken();
  const pool = open(token);
  await pool.run(token.use);
  token.loggedIn = false;
  await pool.run(token.use);
  assert.equal(token.count('C_Login'), 2);
});

test('an operation that must not run twice does not, and the next one works', async () => {
  const token = new FakeToken();
  const pool = open(token);
  await pool.run(token.use);
  token.replug();
  let runs = 0;
  const once = pool.run((session) => {
    runs++;
    return token.use(session);
  }, true);
  await assert.rejects(once, refused('token-gone'));
  assert.equal(runs, 1);
  await pool.run(token.use, true);
});

test('a token that stays away is said to be gone; when it is back, all is well', async () => {
  const token = new FakeToken();
  const pool = open(token);
  await pool.run(token.use);
  token.present = false;
  token.replug();
  await assert.rejects(pool.run(token.use), refused('token-gone'));
  await assert.rejects(pool.run(token.use), refused('token-gone'));
  token.present = true;
  await pool.run(token.use);
});

test('a PIN that was changed meanwhile is tried once, by however many operations', async () => {
  const token = new FakeToken();
  const pool = open(token, { maxSessions: 4 });
  await pool.run(token.use);
  token.replug();
  token.pin = '9999';
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => pool.run(token.use)));
  assert.deepEqual(new Set(results.map(({ status }) => status)), new Set(['rejected']));
  assert.equal(token.count('C_Login'), 2);
  await assert.rejects(pool.run(token.use), refused('pin-incorrect'));
  assert.equal(token.count('C_Login'), 2);
});

test('while a sibling is logged in, its PIN is the one that counts', async () => {
  const token = new FakeToken();
  const first = open(token);
  await first.run(token.use);
  const right = open(token, { siblings: () => [first] });
  await right.run(token.use);
  const wrong = open(token, { siblings: () => [first, right], pin: Buffer.from('1235') });
  await assert.rejects(wrong.run(token.use), refused('pin-incorrect'));
  assert.equal(token.count('C_Login'), 1);
});

test('a login that nobody holds any more proves no PIN', async () => {
  const token = new FakeToken();
  token.loggedIn = true;
  const wrong = open(token, { pin: Buffer.from('1235') });
  await assert.rejects(wrong.run(token.use), refused('pin-incorrect'));
  assert.equal(token.count('C_Login'), 1);
  token.loggedIn = true;
  await open(token).run(token.use);
  assert.equal(token.count('C_Login'), 2);
});

test('an operation behind its deadline keeps its session until the module returns', async () => {
  const token = new FakeToken();
  const pool = open(token, { maxSessions: 1, timeoutMs: 20 });
  const { opened, open: finish } = gate();
  await assert.rejects(
    pool.run(async () => opened),
    refused('timeout'),
  );
  await assert.rejects(pool.run(token.use), refused('timeout'));
  assert.equal(token.sessions.size, 1);
  finish();
  assert.equal(await pool.run(token.use), 1);
  await pool.close();
});

test('a session that opens behind the deadline serves the next operation', async () => {
  const token = new FakeToken();
  const pool = open(token, { maxSessions: 1, timeoutMs: 20 });
  const { opened, open: finish } = gate();
  token.opening = opened;
  await assert.rejects(pool.run(token.use), refused('timeout'));
  finish();
  assert.equal(await pool.run(token.use), 1);
  assert.equal(token.count('C_OpenSession'), 1);
});

test('those that wait are counted, and one more is refused at once', async () => {
  const token = new FakeToken();
  const pool = open(token, { maxSessions: 1, maxWaiting: 2 });
  const { opened, open: finish } = gate();
  const running = pool.run(() => opened);
  const waiting = [pool.run(token.use), pool.run(token.use)];
  await new Promise((resolve) => setImmediate(resolve));
  await assert.rejects(pool.run(token.use), refused('timeout'));
  finish();
  await running;
  assert.deepEqual(await Promise.all(waiting), [1, 1]);
});

test('a token with fewer sessions than hoped for is used with those it has', async () => {
  const token = new FakeToken();
  token.maxSessions = 1;
  const pool = open(token, { maxSessions: 3 });
  const handles = await Promise.all(Array.from({ length: 6 }, () => pool.run(token.use)));
  assert.deepEqual(new Set(handles), new Set([1]));
});

test('an unexpected failure costs the session, an expected one does not', async () => {
  const token = new FakeToken();
  const pool = open(token, { maxSessions: 1 });
  await assert.rejects(
    pool.run(async () => {
      throw errorOf(CKR.CKR_ENCRYPTED_DATA_INVALID, 'C_Decrypt');
    }),
    refused('ciphertext-invalid'),
  );
  assert.equal(await pool.run(token.use), 1);
  await assert.rejects(
    pool.run(async () => {
      throw errorOf(CKR.CKR_OPERATION_ACTIVE, 'C_DecryptInit');
    }),
    refused('token-failed'),
  );
  assert.equal(await pool.run(token.use), 2);
});

test('closing refuses those that wait, lets the running one end, and zeroes the PIN', async () => {
  const token = new FakeToken();
  const pin = Buffer.from(PIN);
  const pool = open(token, { maxSessions: 1, pin });
  const { opened, open: finish } = gate();
  const running = pool.run(() => opened);
  const waiting = pool.run(token.use);
  await new Promise((resolve) => setImmediate(resolve));
  const closing = pool.close();
  await assert.rejects(waiting, refused('closed'));
  finish();
  await Promise.all([running, closing]);
  assert.deepEqual(pin, Buffer.alloc(PIN.length));
  assert.equal(token.sessions.size, 0);
  await assert.rejects(pool.run(token.use), refused('closed'));
});
