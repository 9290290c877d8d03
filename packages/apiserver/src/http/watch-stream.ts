/**
 * One watch on the wire: a frame per event, chunked, never more in memory than a bound.
 *
 * Source of the rule: meta/v1 WatchEvent; kube-apiserver `endpoints/handlers/watch.go`. JSON frames end in a newline;
 * protobuf frames are preceded by their length. Events that arrive together leave in one write. A client that does
 * not read is disconnected: it starts again from a list, which costs it more than it costs the server.
 */
import type { ServerResponse } from 'node:http';
import type { RestWatchEvent, RestWatchSink } from '../rest/contract.js';

export interface WatchLimits {
  /** Unsent bytes at which the client is disconnected. */
  readonly maxBufferedBytes: number;
  /** How long the client may read nothing while bytes wait. */
  readonly stallTimeoutMs: number;
}

export const DEFAULT_WATCH_LIMITS: WatchLimits = {
  maxBufferedBytes: 64 * 1024 * 1024,
  stallTimeoutMs: 30_000,
};

/** Events that wait are joined into writes of about this size. */
const PIECE_BYTES = 256 * 1024;
/** Below this many unsent bytes a producer may go on. */
const RESUME_BYTES = 1024 * 1024;

export type EncodeEvent = (event: RestWatchEvent) => readonly Buffer[];

const OPENINGS: Readonly<Record<RestWatchEvent['type'], Buffer>> = {
  ADDED: Buffer.from('{"type":"ADDED","object":'),
  MODIFIED: Buffer.from('{"type":"MODIFIED","object":'),
  DELETED: Buffer.from('{"type":"DELETED","object":'),
  BOOKMARK: Buffer.from('{"type":"BOOKMARK","object":'),
  ERROR: Buffer.from('{"type":"ERROR","object":'),
};
const CLOSING = Buffer.from('}\n');

/** The object's bytes as they are. */
export function encodeJsonEvent({ type, object }: RestWatchEvent): readonly Buffer[] {
  return [OPENINGS[type], object, CLOSING];
}

export interface WatchStream extends RestWatchSink {
  /** Ends the answer after what is buffered. */
  end(): void;
}

/** @param onOverflow called once, before the client is disconnected, with the reason */
export function createWatchStream(
  response: ServerResponse,
  encode: EncodeEvent,
  limits: WatchLimits,
  onOverflow: (reason: string) => void,
): WatchStream {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  let flushScheduled = false;
  let blocked = false;
  let ended = false;
  let stallTimer: NodeJS.Timeout | undefined;
  let waiters: (() => void)[] = [];

  function release(): void {
    const released = waiters;
    waiters = [];
    for (const resolve of released) resolve();
  }

  function disconnect(reason: string): void {
    if (response.destroyed) return;
    onOverflow(reason);
    response.destroy();
  }

  /** What goes out in one write: until then a frame is only references to its parts. */
  function nextPiece(): Buffer {
    let count = 0;
    let size = 0;
    while (count < pending.length && size < PIECE_BYTES) size += pending[count++]?.length ?? 0;
    const piece = Buffer.concat(pending.slice(0, count), size);
    pending = count === pending.length ? [] : pending.slice(count);
    pendingBytes -= size;
    return piece;
  }

  function flush(): void {
    flushScheduled = false;
    if (blocked || response.destroyed) return;
    while (pendingBytes > 0 && !blocked) blocked = !response.write(nextPiece());
    if (blocked) {
      stallTimer ??= setTimeout(() => disconnect('the client stopped reading'), limits.stallTimeoutMs);
    } else {
      if (ended) response.end();
      release();
    }
  }

  function schedule(): void {
    if (flushScheduled || blocked) return;
    flushScheduled = true;
    setImmediate(flush);
  }

  response.on('drain', () => {
    clearTimeout(stallTimer);
    stallTimer = undefined;
    blocked = false;
    flush();
  });
  response.on('close', () => {
    clearTimeout(stallTimer);
    pending = [];
    pendingBytes = 0;
    release();
  });

  function finish(): void {
    ended = true;
    schedule();
  }

  return {
    onEvent(event) {
      if (ended || response.destroyed) return;
      for (const piece of encode(event)) {
        pending.push(piece);
        pendingBytes += piece.length;
      }
      if (pendingBytes + response.writableLength > limits.maxBufferedBytes) {
        disconnect('the client reads slower than the objects change');
        return;
      }
      schedule();
    },
    drained() {
      if (response.destroyed || pendingBytes + response.writableLength < RESUME_BYTES) return undefined;
      return new Promise((resolve) => waiters.push(resolve));
    },
    onEnd: finish,
    end: finish,
  };
}
