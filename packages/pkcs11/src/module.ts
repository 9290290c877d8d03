/** A loaded module: its slots, its tokens, and one of them opened. PKCS#11 2.40 §5.4, §5.5. */
import { realpath } from 'node:fs/promises';
import { CKF, CKM, type CkmName } from './constants.js';
import { type Cryptoki, loadCryptoki } from './cryptoki.js';
import { Pkcs11Error } from './errors.js';
import { readPadded, readUlong, ULONG_BYTES } from './native-memory.js';
import { createToken, type TokenParts } from './open-token.js';
import { SessionPool } from './session-pool.js';
import type { OpenTokenOptions, Pkcs11Module, SlotInfo, Token, TokenInfo } from './token.js';

const DEFAULTS = { maxSessions: 8, maxWaiting: 1024, timeoutMs: 10_000 } as const;
const MAX_SLOTS = 4096;
const MAX_MECHANISMS = 4096;

/** Sizes and places in CK_INFO, CK_SLOT_INFO, CK_TOKEN_INFO (2.40 §3.1, §3.2). */
const INFO = { bytes: 88, manufacturer: [2, 32], flags: 40, description: [48, 32] } as const;
const SLOT_INFO = { bytes: 112, description: [0, 64], flags: 96 } as const;
const TOKEN_INFO = {
  bytes: 208,
  label: [0, 32],
  manufacturer: [32, 32],
  model: [64, 16],
  serialNumber: [80, 16],
  flags: 96,
} as const;

/**
 * PKCS#11 initialises a library once per process, so the process has one of each: a module stays loaded until it ends.
 * Failed loads are not kept.
 */
const loaded = new Map<string, Promise<Pkcs11Module>>();

/**
 * Opens a PKCS#11 library (`.so`, `.dylib`) by absolute path, once per process.
 * @throws Pkcs11Error platform-unsupported, module-unreadable, invalid-option
 */
export async function openPkcs11Module(path: string): Promise<Pkcs11Module> {
  const real = await realpath(path).catch(() => path);
  const known = loaded.get(real);
  if (known !== undefined) return known;
  const opening = loadCryptoki(real).then(createModule);
  loaded.set(real, opening);
  opening.catch(() => loaded.delete(real));
  return opening;
}

async function createModule(cryptoki: Cryptoki): Promise<Pkcs11Module> {
  const info = await readInfo(cryptoki);
  const pools = new Map<SessionPool, TokenInfo>();
  return {
    path: cryptoki.path,
    info,
    slots: () => readSlots(cryptoki),
    openToken: (options) => openToken(cryptoki, pools, options),
  };
}

async function openToken(
  cryptoki: Cryptoki,
  pools: Map<SessionPool, TokenInfo>,
  options: OpenTokenOptions,
): Promise<Token> {
  const pin = Buffer.from(options.pin);
  options.pin.fill(0);
  const limits = {
    maxSessions: options.maxSessions ?? DEFAULTS.maxSessions,
    maxWaiting: options.maxWaiting ?? DEFAULTS.maxWaiting,
    timeoutMs: options.timeoutMs ?? DEFAULTS.timeoutMs,
  };
  try {
    const info = chooseToken(await readSlots(cryptoki), options);
    const isSame = (other: TokenInfo): boolean =>
      other.serialNumber === info.serialNumber &&
      other.label === info.label &&
      other.manufacturer === info.manufacturer;
    const pool: SessionPool = new SessionPool(info.slotId, {
      cryptoki,
      ...limits,
      pin,
      async locate() {
        const again = (await readSlots(cryptoki)).find(({ token }) => token !== undefined && isSame(token));
        if (again === undefined) {
          throw new Pkcs11Error(
            'token-gone',
            `The token '${info.label}' (serial number ${info.serialNumber}) is gone. Check that it is plugged in or reachable.`,
          );
        }
        return again.slotId;
      },
      *siblings() {
        for (const [other, theirs] of pools) if (other !== pool && isSame(theirs)) yield other;
      },
    });
    pools.set(pool, info);
    const onClosed = (): void => void pools.delete(pool);
    try {
      // The first session shows whether the PIN is right, before anybody relies on the token.
      const mechanisms = await pool.run(() => readMechanisms(cryptoki, info.slotId));
      return createToken({ cryptoki, pool, info, mechanisms, onClosed });
    } catch (error) {
      // A module that hangs is not waited for a second time.
      const closing = pool.close().finally(onClosed);
      if (!(error instanceof Pkcs11Error && error.code === 'timeout')) await closing;
      throw error;
    }
  } catch (error) {
    pin.fill(0);
    throw error;
  }
}

function chooseToken(
  slots: readonly SlotInfo[],
  { label, serialNumber, slotId }: OpenTokenOptions,
): TokenInfo {
  const tokens = slots.flatMap(({ token }) => (token?.initialized === true ? [token] : []));
  const fitting = tokens.filter(
    (token) =>
      (label === undefined || token.label === label) &&
      (serialNumber === undefined || token.serialNumber === serialNumber) &&
      (slotId === undefined || token.slotId === slotId),
  );
  const names = [
    ...(label === undefined ? [] : [`label '${label}'`]),
    ...(serialNumber === undefined ? [] : [`serial number '${serialNumber}'`]),
    ...(slotId === undefined ? [] : [`slot ${slotId}`]),
  ].join(' and ');
  const [first, second] = fitting;
  if (first === undefined) {
    const present = tokens.map((token) => `'${token.label}'`).join(', ');
    throw new Pkcs11Error(
      'token-not-found',
      `The module has no initialized token${names === '' ? '' : ` with ${names}`}. ${present === '' ? 'It has none at all: check its configuration.' : `It has: ${present}.`}`,
    );
  }
  if (second !== undefined) {
    const found = fitting
      .map((token) => `slot ${token.slotId}, serial number ${token.serialNumber}, '${token.label}'`)
      .join('; ');
    throw new Pkcs11Error(
      'token-ambiguous',
      `The module has ${fitting.length} tokens that fit (${found}). Name one by its serial number.`,
    );
  }
  return first;
}

async function readInfo(cryptoki: Cryptoki): Promise<Pkcs11Module['info']> {
  return cryptoki.withMemory(async (memory) => {
    const info = memory.reserve(INFO.bytes);
    await cryptoki.checked('C_GetInfo', info);
    return {
      manufacturer: readPadded(info, ...INFO.manufacturer),
      description: readPadded(info, ...INFO.description),
      cryptokiVersion: `${info[0] ?? 0}.${info[1] ?? 0}`,
    };
  });
}

async function readSlots(cryptoki: Cryptoki): Promise<readonly SlotInfo[]> {
  return cryptoki.withMemory(async (memory) => {
    const count = memory.reserve(ULONG_BYTES);
    await cryptoki.checked('C_GetSlotList', 0, null, count);
    // A slot may appear between the two calls.
    const room = Math.min((readUlong(count) ?? 0) + 8, MAX_SLOTS);
    const ids = memory.reserve(room * ULONG_BYTES);
    count.writeBigUInt64LE(BigInt(room));
    await cryptoki.checked('C_GetSlotList', 0, ids, count);
    const slots: SlotInfo[] = [];
    for (let index = 0; index < Math.min(readUlong(count) ?? 0, room); index++) {
      const slotId = readUlong(ids, index * ULONG_BYTES);
      if (slotId !== undefined) slots.push(await readSlot(cryptoki, slotId));
    }
    return slots;
  });
}

async function readSlot(cryptoki: Cryptoki, slotId: number): Promise<SlotInfo> {
  return cryptoki.withMemory(async (memory) => {
    const slot = memory.reserve(SLOT_INFO.bytes);
    await cryptoki.checked('C_GetSlotInfo', slotId, slot);
    const description = readPadded(slot, ...SLOT_INFO.description);
    if (((readUlong(slot, SLOT_INFO.flags) ?? 0) & CKF.CKF_TOKEN_PRESENT) === 0)
      return { slotId, description };
    const token = memory.reserve(TOKEN_INFO.bytes);
    // Pulled out just now, or of another kind: the slot counts as empty.
    if ((await cryptoki.call('C_GetTokenInfo', slotId, token)) !== 0) return { slotId, description };
    const flags = readUlong(token, TOKEN_INFO.flags) ?? 0;
    return {
      slotId,
      description,
      token: {
        slotId,
        label: readPadded(token, ...TOKEN_INFO.label),
        manufacturer: readPadded(token, ...TOKEN_INFO.manufacturer),
        model: readPadded(token, ...TOKEN_INFO.model),
        serialNumber: readPadded(token, ...TOKEN_INFO.serialNumber),
        initialized: (flags & CKF.CKF_TOKEN_INITIALIZED) !== 0,
        loginRequired: (flags & CKF.CKF_LOGIN_REQUIRED) !== 0,
        pinFinalTry: (flags & CKF.CKF_USER_PIN_FINAL_TRY) !== 0,
        pinLocked: (flags & CKF.CKF_USER_PIN_LOCKED) !== 0,
      },
    };
  });
}

const mechanismNames: ReadonlyMap<number, CkmName> = new Map(
  (Object.entries(CKM) as [CkmName, number][]).map(([name, value]) => [value, name]),
);

async function readMechanisms(cryptoki: Cryptoki, slotId: number): Promise<TokenParts['mechanisms']> {
  return cryptoki.withMemory(async (memory) => {
    const count = memory.reserve(ULONG_BYTES);
    await cryptoki.checked('C_GetMechanismList', slotId, null, count);
    const room = Math.min(readUlong(count) ?? 0, MAX_MECHANISMS);
    const list = memory.reserve(room * ULONG_BYTES);
    count.writeBigUInt64LE(BigInt(room));
    await cryptoki.checked('C_GetMechanismList', slotId, list, count);
    const mechanisms: TokenParts['mechanisms'][number][] = [];
    const info = memory.reserve(3 * ULONG_BYTES);
    for (let index = 0; index < Math.min(readUlong(count) ?? 0, room); index++) {
      const number = readUlong(list, index * ULONG_BYTES);
      if (number === undefined || (await cryptoki.call('C_GetMechanismInfo', slotId, number, info)) !== 0)
        continue;
      const flags = readUlong(info, 2 * ULONG_BYTES) ?? 0;
      mechanisms.push({
        number,
        flags,
        name: mechanismNames.get(number) ?? `0x${number.toString(16)}`,
        minKeySize: readUlong(info) ?? 0,
        maxKeySize: readUlong(info, ULONG_BYTES) ?? 0,
        encrypt: (flags & CKF.CKF_ENCRYPT) !== 0,
        decrypt: (flags & CKF.CKF_DECRYPT) !== 0,
        sign: (flags & CKF.CKF_SIGN) !== 0,
        wrap: (flags & CKF.CKF_WRAP) !== 0,
        generate: (flags & (CKF.CKF_GENERATE | CKF.CKF_GENERATE_KEY_PAIR)) !== 0,
      });
    }
    return mechanisms;
  });
}
