/**
 * koffi, loaded with the first module and not before: a process without a token pays nothing. Its settings can only be made before
 * it has loaded any library, and hold for the process.
 */
import type koffi from 'koffi';
import type { LibraryHandle } from 'koffi';

/** Modules run on a stack koffi sets up; its default of 128 KiB is little for the cryptography of a software token. */
const STACK_BYTES = 1024 * 1024;

type NativeCalls = typeof koffi;
/** libuv's default (UV_THREADPOOL_SIZE changes it). */
const DEFAULT_POOL_THREADS = 4;

/** koffi unloads a library when its handle is collected, and the functions found in it do not hold the handle: we do. */
const libraries = new Set<LibraryHandle>();
let loading: Promise<NativeCalls> | undefined;

export function loadNativeCalls(): Promise<NativeCalls> {
  loading ??= importConfigured();
  return loading;
}

async function importConfigured(): Promise<NativeCalls> {
  const { default: calls } = await import('koffi');
  try {
    calls.config({ async_stack_size: STACK_BYTES });
  } catch {
    // Somebody else in this process has loaded a library with koffi before: the size they chose stays.
  }
  return calls;
}

/**
 * A library by path. Node carries an OpenSSL of its own: without `deep` a library that uses OpenSSL would be bound to
 * parts of that one.
 */
export function loadLibrary(calls: NativeCalls, path: string): LibraryHandle {
  const library = calls.load(path, process.platform === 'linux' ? { deep: true } : {});
  libraries.add(library);
  return library;
}

export interface CallGate {
  /** Runs at most so many at a time; the rest wait in order. */
  through<T>(call: () => Promise<T>): Promise<T>;
}

/**
 * Calls run on libuv's threads, which files, name lookups and node:crypto need too. Half of them stay free, so that a token that hangs
 * stops nothing else.
 * @param poolThreads UV_THREADPOOL_SIZE as the process was started with
 */
export function createCallGate(poolThreads: string | undefined): CallGate {
  const threads = Number(poolThreads ?? DEFAULT_POOL_THREADS);
  const most = Math.max(1, Math.floor((Number.isInteger(threads) ? threads : DEFAULT_POOL_THREADS) / 2));
  const waiting: (() => void)[] = [];
  let running = 0;
  return {
    async through(call) {
      if (running < most) running++;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      try {
        return await call();
      } finally {
        const next = waiting.shift();
        if (next === undefined) running--;
        else next();
      }
    },
  };
}

/** One for the process, as the threads are. */
export const callGate = createCallGate(process.env['UV_THREADPOOL_SIZE']);
