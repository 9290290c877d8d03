/** The frame around one served call: cancellation in, errors out, one report at the end. */
import type { handleUnaryCall } from '@grpc/grpc-js';
import { grpcStatusOf, KmsApiError, type KmsApiErrorCode } from './errors.js';
import { plaintextMaxBytes } from './limits.js';
import { lengthProblem } from './validate.js';

/** What a call came to. */
export interface CallReport {
  readonly version: 'v1' | 'v2';
  readonly method: 'Version' | 'Status' | 'Encrypt' | 'Decrypt';
  readonly code: 'ok' | KmsApiErrorCode;
  /** gRPC status code of the answer. */
  readonly grpcStatus: number;
  readonly durationMs: number;
  /** What failed; an error that is no KmsApiError was answered without its message. */
  readonly error?: unknown;
  /** The caller's name of the call; v2 only. */
  readonly uid?: string;
}

export type ReportCall = (report: CallReport) => void;

/** @throws KmsApiError `invalid_argument` when there is a problem */
export function refuse(method: string, problem: string | undefined): void {
  if (problem !== undefined) {
    throw new KmsApiError('invalid_argument', `${method} is refused: ${problem}.`, { method });
  }
}

/** @throws KmsApiError `invalid_response`: the plugin would have broken the contract */
export function withhold(method: string, problem: string | undefined): void {
  if (problem !== undefined) {
    throw new KmsApiError('invalid_response', `The answer to ${method} is withheld: ${problem}.`, { method });
  }
}

/**
 * Nobody had that much wrapped here: a backend that answers it answers something else.
 *
 * @throws KmsApiError `invalid_response` for a plaintext beyond the limit, which is overwritten
 */
export function withholdPlaintext(plaintext: Buffer): void {
  const problem = lengthProblem('plaintext', plaintext.length, 0, plaintextMaxBytes);
  if (problem !== undefined) plaintext.fill(0);
  withhold('Decrypt', problem);
}

/** Turns an async function into a gRPC handler. `serve` gets a signal that aborts when the caller is gone, and how long it waits. */
export function unary<Request, Response>(
  version: CallReport['version'],
  method: CallReport['method'],
  report: ReportCall,
  serve: (request: Request, signal: AbortSignal, timeoutMs: number) => Promise<Response>,
  uidOf?: (request: Request) => string,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const startMs = performance.now();
    const abort = new AbortController();
    let answered = false;
    // Also emitted when the stream of an answered call closes; aborting then would only cost an exception.
    call.on('cancelled', () => {
      if (!answered) abort.abort();
    });
    const finish = (code: CallReport['code'], grpcStatus: number, error?: unknown): void => {
      report({
        version,
        method,
        code,
        grpcStatus,
        durationMs: performance.now() - startMs,
        ...(error === undefined ? {} : { error }),
        ...(uidOf === undefined ? {} : { uid: uidOf(call.request) }),
      });
    };
    const answer = async (): Promise<void> => {
      let response: Response;
      try {
        response = await serve(call.request, abort.signal, timeoutMsOf(call.getDeadline()));
        answered = true;
      } catch (error) {
        answered = true;
        const code = error instanceof KmsApiError ? error.code : 'internal';
        const grpcStatus = grpcStatusOf(code);
        // A stranger's message may hold anything.
        const details = error instanceof KmsApiError ? error.message : 'The plugin failed; its log says why.';
        callback({ code: grpcStatus, details });
        finish(code, grpcStatus, error);
        return;
      }
      callback(null, response);
      finish('ok', 0);
    };
    void answer();
  };
}

/** @param deadline as grpc-js has it: a date, ms since 1970, or Infinity */
function timeoutMsOf(deadline: Date | number): number {
  return Number(deadline) - Date.now();
}

/** A method whose answer's plaintext is overwritten once the message is made. */
export function wiped<Method extends { readonly responseSerialize: (value: Response) => Buffer }, Response>(
  method: Method,
  plaintextOf: (response: Response) => Buffer,
): Method {
  return {
    ...method,
    responseSerialize: (response: Response): Buffer => {
      const message = method.responseSerialize(response);
      plaintextOf(response).fill(0);
      return message;
    },
  };
}
