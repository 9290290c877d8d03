/** What is served at a path that is no object: discovery, OpenAPI, version, health, metrics. */
import type { RawHeaders } from './respond.js';

interface PathRequest {
  readonly path: string;
  readonly query: URLSearchParams | undefined;
  readonly accept: string;
  readonly ifNoneMatch: string | undefined;
}

export interface PathAnswer {
  readonly code: number;
  readonly contentType: string;
  readonly body: Buffer;
  readonly headers?: RawHeaders;
}

/** Undefined: this endpoint does not serve the path. Only GET and HEAD reach it. */
export type PathEndpoint = (request: PathRequest) => PathAnswer | undefined | Promise<PathAnswer | undefined>;

export function jsonAnswer(value: unknown, headers: RawHeaders = []): PathAnswer {
  return {
    code: 200,
    contentType: 'application/json',
    body: Buffer.from(`${JSON.stringify(value)}\n`),
    headers,
  };
}

export function textAnswer(code: number, text: string): PathAnswer {
  return {
    code,
    contentType: 'text/plain; charset=utf-8',
    body: Buffer.from(text),
    headers: ['X-Content-Type-Options', 'nosniff'],
  };
}
