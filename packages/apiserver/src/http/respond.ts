/**
 * Writes answers: one header block and one body, compressed when that pays.
 *
 * Source of the rule: kube-apiserver answers gzip to clients that accept it when the body is over 128 KiB, level 1;
 * warnings are `Warning: 299 - "text"` (RFC 7234 §5.5); nothing may be cached.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Status } from '../errors.js';

const GZIP_THRESHOLD_BYTES = 128 * 1024;
const gzipAsync = promisify(gzip);

/** Largest piece handed to the socket at once; below it a list is one write. */
const PIECE_BYTES = 256 * 1024;
const WARNING_MAX_CHARACTERS = 256;
const WARNINGS_MAX_BYTES = 4096;

/** Name, value, name, value …: what `writeHead` takes without building an object. */
export type RawHeaders = (string | number)[];

function acceptsGzip(request: IncomingMessage): boolean {
  const encoding = request.headers['accept-encoding'];
  return encoding !== undefined && encoding.split(',').some((token) => token.trim() === 'gzip');
}

/** A quoted-string of printable ASCII, which is what a header can hold. */
function warningHeader(text: string): string {
  const printable = text.slice(0, WARNING_MAX_CHARACTERS).replaceAll(/[^\x20-\x7e]/g, '?');
  return `299 - "${printable.replaceAll(/[\\"]/g, (character) => `\\${character}`)}"`;
}

/** One header per warning, as many as stay under 4 KiB: longer header blocks are refused by proxies. */
function pushWarnings(headers: RawHeaders, warnings: readonly string[]): void {
  let left = WARNINGS_MAX_BYTES;
  for (const warning of new Set(warnings)) {
    const header = warningHeader(warning);
    left -= header.length;
    if (left < 0) return;
    headers.push('Warning', header);
  }
}

function baseHeaders(contentType: string): RawHeaders {
  return ['Content-Type', contentType, 'Cache-Control', 'no-cache, private'];
}

/** Small bodies go out in the same write as the headers. */
export async function sendBody(
  request: IncomingMessage,
  response: ServerResponse,
  code: number,
  contentType: string,
  body: Buffer,
  warnings: readonly string[] = [],
  extra: RawHeaders = [],
): Promise<void> {
  const headers = baseHeaders(contentType);
  if (warnings.length > 0) pushWarnings(headers, warnings);
  if (extra.length > 0) headers.push(...extra);
  if (body.length > GZIP_THRESHOLD_BYTES && acceptsGzip(request)) {
    const packed = await gzipAsync(body, { level: 1 });
    headers.push('Content-Encoding', 'gzip', 'Vary', 'Accept-Encoding', 'Content-Length', packed.length);
    response.writeHead(code, headers);
    response.end(packed);
    return;
  }
  headers.push('Content-Length', body.length);
  response.writeHead(code, headers);
  response.end(body);
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}

/** The pieces of a list joined into buffers of at least PIECE_BYTES but the last. */
function* joined(pieces: Iterable<Buffer>): Generator<Buffer> {
  let batch: Buffer[] = [];
  let size = 0;
  for (const piece of pieces) {
    batch.push(piece);
    size += piece.length;
    if (size >= PIECE_BYTES) {
      yield Buffer.concat(batch, size);
      batch = [];
      size = 0;
    }
  }
  if (size > 0) yield Buffer.concat(batch, size);
}

const COMMA = Buffer.from(',');

function* listPieces(head: Buffer, items: readonly Buffer[], tail: Buffer): Generator<Buffer> {
  yield head;
  for (let i = 0; i < items.length; i += 1) {
    if (i > 0) yield COMMA;
    const item = items[i];
    if (item !== undefined) yield item;
  }
  yield tail;
}

/**
 * A JSON list from the bytes of its items: copied once into large pieces, never parsed, and written no faster than
 * the client reads.
 */
export async function sendJsonList(
  request: IncomingMessage,
  response: ServerResponse,
  head: Buffer,
  items: readonly Buffer[],
  tail: Buffer,
): Promise<void> {
  let size = head.length + tail.length + Math.max(0, items.length - 1);
  for (const item of items) size += item.length;
  if (size <= PIECE_BYTES || (size > GZIP_THRESHOLD_BYTES && acceptsGzip(request))) {
    const body = Buffer.concat([...listPieces(head, items, tail)], size);
    await sendBody(request, response, 200, 'application/json', body);
    return;
  }
  response.writeHead(200, [...baseHeaders('application/json'), 'Content-Length', size]);
  for (const piece of joined(listPieces(head, items, tail))) {
    if (response.destroyed) return;
    if (!response.write(piece)) await drained(response);
  }
  response.end();
}

/** How long a client that is still sending may go on before the connection is closed under it. */
const LINGER_MS = 2_000;

/** A body up to this size is read to its end to keep the connection; a larger one is not worth it. */
const DISCARD_MAX_BYTES = 64 * 1024;

function endsConnection(request: IncomingMessage, code: number): boolean {
  if (request.complete) return false;
  const { 'content-length': declared, 'transfer-encoding': chunked } = request.headers;
  if (declared === undefined && chunked === undefined) return false;
  // A client that was too slow once is not waited for again.
  return code === 504 || chunked !== undefined || Number(declared) > DISCARD_MAX_BYTES;
}

/** A failure. */
export function sendStatus(request: IncomingMessage, response: ServerResponse, status: Status): void {
  const body = Buffer.from(`${JSON.stringify(status)}\n`);
  const headers = baseHeaders('application/json');
  const retryAfterSeconds = status.details?.retryAfterSeconds;
  if (retryAfterSeconds !== undefined && retryAfterSeconds > 0)
    headers.push('Retry-After', retryAfterSeconds);
  // Paths and names are echoed in messages: no browser may sniff them into something else.
  headers.push('X-Content-Type-Options', 'nosniff', 'Content-Length', body.length);
  const code = status.code ?? 500;
  if (!endsConnection(request, code)) {
    response.writeHead(code, headers);
    response.end(body);
    return;
  }
  // An unread body would be taken for the next request, so the connection must end. Closing it at once would reset
  // it, and the answer with it: what still comes is thrown away for a moment instead.
  headers.push('Connection', 'close');
  response.writeHead(code, headers);
  response.write(body);
  const timer = setTimeout(() => response.end(), LINGER_MS);
  request.on('end', () => response.end());
  response.on('close', () => clearTimeout(timer));
  request.resume();
}
