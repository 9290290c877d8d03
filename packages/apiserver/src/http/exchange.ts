/**
 * One request and its answer, with the signal that ends the work when the client leaves or time is up.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ApiError } from '../errors.js';

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Decoded path, without the query. */
  readonly path: string;
  /** Undefined when there is none: most requests have none, and parsing costs. */
  readonly query: URLSearchParams | undefined;
  /** Made on first use. */
  readonly signal: AbortSignal;
  /** Aborts `signal`. */
  abort(reason: Error): void;
}

/** @throws ApiError 400 for a path that is no valid percent-encoding */
export function createExchange(request: IncomingMessage, response: ServerResponse): Exchange {
  const url = request.url ?? '/';
  const mark = url.indexOf('?');
  const rawPath = mark < 0 ? url : url.slice(0, mark);
  let path = rawPath;
  if (rawPath.includes('%')) {
    try {
      path = decodeURIComponent(rawPath);
    } catch {
      throw new ApiError(400, 'BadRequest', 'the path of the request is not valid percent-encoding');
    }
  }
  let controller: AbortController | undefined;
  let aborted: Error | undefined;
  return {
    request,
    response,
    path,
    query: mark < 0 || mark === url.length - 1 ? undefined : new URLSearchParams(url.slice(mark + 1)),
    get signal() {
      if (controller === undefined) {
        controller = new AbortController();
        if (aborted !== undefined) controller.abort(aborted);
      }
      return controller.signal;
    },
    abort(reason) {
      aborted = reason;
      controller?.abort(reason);
    },
  };
}
