/**
 * The C functions of a PKCS#11 module, called off the event loop.
 *
 * koffi loads the library and calls through the function list (C_GetFunctionList), whose order PKCS#11 2.40 §3.6 fixes. Every
 * function returns its CK_RV as a number; what it means is said elsewhere (return-values.ts).
 */
import { isAbsolute } from 'node:path';
import type { LibraryHandle } from 'koffi';
import { CKF, CKR } from './constants.js';
import { Pkcs11Error } from './errors.js';
import { callGate, loadLibrary, loadNativeCalls } from './native-calls.js';
import { createNativeMemory, type NativeMemory } from './native-memory.js';
import { errorOf } from './return-values.js';

/**
 * Name → [place in CK_FUNCTION_LIST, parameters]. `n` is a CK_ULONG, a handle or a flag word; `p` a pointer; `b` a CK_BBOOL.
 */
const FUNCTIONS = {
  C_Initialize: [0, 'p'],
  C_GetInfo: [2, 'p'],
  C_GetSlotList: [4, 'bpp'],
  C_GetSlotInfo: [5, 'np'],
  C_GetTokenInfo: [6, 'np'],
  C_GetMechanismList: [7, 'npp'],
  C_GetMechanismInfo: [8, 'nnp'],
  C_OpenSession: [12, 'nnppp'],
  C_CloseSession: [13, 'n'],
  C_GetSessionInfo: [15, 'np'],
  C_Login: [18, 'nnpn'],
  C_Logout: [19, 'n'],
  C_CreateObject: [20, 'npnp'],
  C_DestroyObject: [22, 'nn'],
  C_GetAttributeValue: [24, 'nnpn'],
  C_FindObjectsInit: [26, 'npn'],
  C_FindObjects: [27, 'npnp'],
  C_FindObjectsFinal: [28, 'n'],
  C_EncryptInit: [29, 'npn'],
  C_Encrypt: [30, 'npnpp'],
  C_DecryptInit: [33, 'npn'],
  C_Decrypt: [34, 'npnpp'],
  C_SignInit: [42, 'npn'],
  C_Sign: [43, 'npnpp'],
  C_VerifyInit: [48, 'npn'],
  C_Verify: [49, 'npnpn'],
  C_GenerateKey: [58, 'nppnp'],
  C_GenerateKeyPair: [59, 'nppnpnpp'],
  C_WrapKey: [60, 'npnnpp'],
  C_UnwrapKey: [61, 'npnpnpnp'],
  C_GenerateRandom: [64, 'npn'],
} as const;
export type CryptokiFunction = keyof typeof FUNCTIONS;

const FUNCTION_COUNT = 68;
const POINTER_BYTES = 8;
const TYPES: Readonly<Record<string, string>> = { n: 'unsigned long', p: 'void *', b: 'uint8_t' };

export type Argument = number | bigint | Buffer | null;

export interface Cryptoki {
  readonly path: string;
  /** The return value as it is; CKR_FUNCTION_NOT_SUPPORTED for a function the module has not. */
  call(name: CryptokiFunction, ...args: readonly Argument[]): Promise<number>;
  /** @throws Pkcs11Error for every return value but CKR_OK */
  checked(name: CryptokiFunction, ...args: readonly Argument[]): Promise<void>;
  /** For the length of `use`; zeroed after it. */
  withMemory<T>(use: (memory: NativeMemory) => Promise<T>): Promise<T>;
}

type NativeFunction = (args: readonly Argument[]) => Promise<number>;

/**
 * Loads a module and initialises it, with its own locks (CKF_OS_LOCKING_OK): calls come from several threads.
 * @throws Pkcs11Error platform-unsupported, module-unreadable, invalid-option
 */
export async function loadCryptoki(path: string): Promise<Cryptoki> {
  checkPlatform();
  if (!isAbsolute(path)) {
    throw new Pkcs11Error('invalid-option', `The PKCS#11 module must be named by an absolute path: ${path}`);
  }
  const koffi = await loadNativeCalls();
  const library = load(() => loadLibrary(koffi, path), path);
  const list = Buffer.alloc(POINTER_BYTES);
  const getFunctionList: (list: Buffer) => unknown = entryPoint(library, path);
  const rv = getFunctionList(list);
  const address = list.readBigUInt64LE();
  if (rv !== CKR.CKR_OK || address === 0n) throw unreadable(path, 'C_GetFunctionList gives no functions');
  // CK_VERSION is two bytes; pointers follow at the next multiple of eight.
  const table = Buffer.from(koffi.view(address, (1 + FUNCTION_COUNT) * POINTER_BYTES));

  // Arguments of calls that run: nothing they point at is collected meanwhile.
  const running = new Set<readonly Argument[]>();
  const functions = new Map<CryptokiFunction, NativeFunction>();
  for (const [name, [place, parameters]] of Object.entries(FUNCTIONS)) {
    const pointer = table.readBigUInt64LE((1 + place) * POINTER_BYTES);
    if (pointer === 0n) continue;
    const prototype = koffi.proto(
      'unsigned long',
      Array.from(parameters, (parameter) => TYPES[parameter] ?? 'void *'),
    );
    const native: { async(...args: unknown[]): void } = koffi.decode(pointer, prototype);
    functions.set(
      name as CryptokiFunction,
      (args) =>
        new Promise((resolve, reject) => {
          running.add(args);
          native.async(...args, (error: unknown, result: number | bigint) => {
            running.delete(args);
            if (error === null || error === undefined) resolve(Number(result));
            else reject(new Pkcs11Error('token-failed', `${name} cannot be called.`, { cause: error }));
          });
        }),
    );
  }
  const cryptoki = createCryptoki(path, functions, (buffer) => koffi.address(buffer));
  await initialize(cryptoki);
  return cryptoki;
}

function createCryptoki(
  path: string,
  functions: ReadonlyMap<CryptokiFunction, NativeFunction>,
  addressOf: (buffer: Buffer) => bigint,
): Cryptoki {
  const call: Cryptoki['call'] = async (name, ...args) => {
    const native = functions.get(name);
    return native === undefined ? CKR.CKR_FUNCTION_NOT_SUPPORTED : callGate.through(() => native(args));
  };
  return {
    path,
    call,
    async checked(name, ...args) {
      const rv = await call(name, ...args);
      if (rv !== CKR.CKR_OK) throw errorOf(rv, name);
    },
    async withMemory(use) {
      const memory = createNativeMemory(addressOf);
      try {
        return await use(memory);
      } finally {
        memory.free();
      }
    },
  };
}

/** CK_C_INITIALIZE_ARGS: four mutex functions (none), flags, reserved. */
async function initialize(cryptoki: Cryptoki): Promise<void> {
  const rv = await cryptoki.withMemory((memory) =>
    cryptoki.call('C_Initialize', memory.struct(0, 0, 0, 0, CKF.CKF_OS_LOCKING_OK, 0)),
  );
  if (rv !== CKR.CKR_OK && rv !== CKR.CKR_CRYPTOKI_ALREADY_INITIALIZED) {
    throw unreadable(
      cryptoki.path,
      'C_Initialize failed; check its configuration',
      errorOf(rv, 'C_Initialize'),
    );
  }
}

function checkPlatform(): void {
  const supported =
    (process.platform === 'linux' || process.platform === 'darwin') &&
    (process.arch === 'x64' || process.arch === 'arm64');
  if (!supported) {
    throw new Pkcs11Error(
      'platform-unsupported',
      `PKCS#11 tokens work on Linux and macOS, on x64 and arm64; this is ${process.platform} on ${process.arch}.`,
    );
  }
}

function load(open: () => LibraryHandle, path: string): LibraryHandle {
  try {
    return open();
  } catch (error) {
    throw unreadable(path, error instanceof Error ? error.message : 'it does not load', error);
  }
}

function entryPoint(library: LibraryHandle, path: string): (list: Buffer) => unknown {
  try {
    return library.func('C_GetFunctionList', 'unsigned long', ['void *']);
  } catch (error) {
    throw unreadable(path, 'it has no C_GetFunctionList, so it is no PKCS#11 module', error);
  }
}

function unreadable(path: string, reason: string, cause?: unknown): Pkcs11Error {
  return new Pkcs11Error('module-unreadable', `The PKCS#11 module ${path} cannot be used: ${reason}.`, {
    cause,
  });
}
