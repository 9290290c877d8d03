/** Reads a request body into one Buffer, never more than the limit. */
import type { IncomingMessage } from 'node:http';
import { ApiError } from '../errors.js';

/** kube-apiserver's own limit, twice what etcd takes in one request. */
export const MAX_BODY_BYTES = 3 * 1024 * 1024;

function tooLarge(maxBytes: number): ApiError {
  return new ApiError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${maxBytes}`);
}

/**
 * @throws ApiError 413 over the limit (the rest of the body is then still unread: the connection must be closed),
 *   400 when the client goes away half-way
 */
export function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > maxBytes) return Promise.reject(tooLarge(maxBytes));
  return new Promise((resolve, reject) => {
    let first: Buffer | undefined;
    let chunks: Buffer[] | undefined;
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > maxBytes) {
        request.pause();
        chunks = undefined;
        first = undefined;
        reject(tooLarge(maxBytes));
        return;
      }
      // Nearly every body is one chunk: keep it as it came.
      if (first === undefined) first = chunk;
      else (chunks ??= [first]).push(chunk);
    });
    request.on('end', () => {
      resolve(chunks === undefined ? (first ?? Buffer.alloc(0)) : Buffer.concat(chunks, size));
    });
    request.on('error', (cause) => {
      reject(new ApiError(400, 'BadRequest', 'the request body could not be read', undefined, { cause }));
    });
    request.on('close', () => {
      if (!request.complete) reject(new ApiError(400, 'BadRequest', 'the request body ended early'));
    });
  });
}
