/**
 * One lazy gRPC connection to a plugin's socket, and the frame every call on it goes through: deadline, cancellation,
 * size limit, and errors as KmsApiError.
 *
 * As k8s.io/apiserver's client does, a call waits for the connection until its deadline, so a plugin that is just
 * restarting costs time and not an error; and `:authority` is `localhost`.
 */
import { Client, connectivityState, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { parseEndpoint } from './endpoint.js';
import { codeOfGrpcStatus, KmsApiError } from './errors.js';
import { callTimeoutMs, messageMaxBytes } from './limits.js';

export interface ConnectKmsOptions {
  /** `unix:///path` or `unix:///@name`. The plugin need not be there yet. */
  readonly endpoint: string;
  /** Longest time one call may take, waiting for the connection included; 3000 by default. */
  readonly timeoutMs?: number;
}

/** How a message goes over the wire; the generated service definitions have this shape. */
interface UnaryMethod<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

export interface KmsChannel {
  /** @throws KmsApiError */
  call<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    signal: AbortSignal | undefined,
  ): Promise<Response>;
  /** An `invalid_response` error of this endpoint. */
  invalidResponse(method: string, problem: string): KmsApiError;
  close(): void;
}

// A plugin's restart takes well under a second; the defaults of gRPC (1 s growing to 2 min) would outlast it.
const initialReconnectBackoffMs = 50;
const maxReconnectBackoffMs = 500;

type Decoded<Response> = { readonly response: Response } | { readonly failure: unknown };

/** @throws KmsApiError `invalid_endpoint` */
export function openChannel(options: ConnectKmsOptions): KmsChannel {
  const address = parseEndpoint(options.endpoint);
  const timeoutMs = options.timeoutMs ?? callTimeoutMs;
  if (!(timeoutMs > 0)) {
    throw new KmsApiError('invalid_endpoint', 'The timeout of a KMS call must be more than 0 ms.');
  }
  const client = new Client(`unix:${address.netPath}`, credentials.createInsecure(), {
    'grpc.default_authority': 'localhost',
    'grpc.initial_reconnect_backoff_ms': initialReconnectBackoffMs,
    'grpc.max_reconnect_backoff_ms': maxReconnectBackoffMs,
    'grpc.max_receive_message_length': messageMaxBytes,
    'grpc.max_send_message_length': messageMaxBytes,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
  });
  const hint = address.portable
    ? ''
    : ' Node before 22 only finds abstract sockets of other Node programs; use a path.';
  let closed = false;

  const fail = (method: string, error: ServiceError): KmsApiError => {
    const fields = { cause: error, endpoint: address.url, method };
    const code = codeOfGrpcStatus(error.code);
    const connected = client.getChannel().getConnectivityState(false) === connectivityState.READY;
    if (code === 'unavailable' || (code === 'deadline_exceeded' && !connected)) {
      const said = code === 'unavailable' && connected ? ` (it says: ${error.details})` : '';
      return new KmsApiError(
        'unavailable',
        `The KMS plugin at ${address.url} is not available${said}. Check that it runs and listens there.${hint}`,
        fields,
      );
    }
    if (code === 'deadline_exceeded') {
      return new KmsApiError(
        code,
        `The KMS plugin at ${address.url} did not answer ${method} within ${timeoutMs} ms.`,
        fields,
      );
    }
    if (code === 'unimplemented') {
      return new KmsApiError(
        code,
        `The KMS plugin at ${address.url} does not serve ${method}. Check the KMS version it is configured for.`,
        fields,
      );
    }
    return new KmsApiError(
      code,
      `The KMS plugin at ${address.url} failed ${method}: ${error.details}`,
      fields,
    );
  };

  const invalidResponse = (method: string, problem: string, cause?: unknown): KmsApiError =>
    new KmsApiError(
      'invalid_response',
      `The KMS plugin at ${address.url} broke the contract in its answer to ${method}: ${problem}.`,
      { endpoint: address.url, method, cause },
    );

  return {
    invalidResponse,
    close: () => {
      closed = true;
      client.close();
    },
    call: (method, request, signal) =>
      new Promise((resolve, reject) => {
        const name = method.path.slice(method.path.lastIndexOf('/') + 1);
        const cancelled = (cause: unknown): KmsApiError =>
          new KmsApiError('cancelled', `The call of ${name} was given up.`, {
            cause,
            endpoint: address.url,
            method: name,
          });
        if (closed) {
          reject(
            new KmsApiError('cancelled', 'The KMS client is closed.', {
              endpoint: address.url,
              method: name,
            }),
          );
          return;
        }
        if (signal?.aborted === true) {
          reject(cancelled(signal.reason));
          return;
        }
        const onAbort = (): void => {
          call.cancel();
        };
        // A failure to decode is carried as a value: inside gRPC it could not be told from the peer's own INTERNAL.
        const deserialize = (bytes: Buffer): Decoded<ReturnType<typeof method.responseDeserialize>> => {
          try {
            return { response: method.responseDeserialize(bytes) };
          } catch (failure) {
            return { failure };
          }
        };
        const call = client.makeUnaryRequest(
          method.path,
          method.requestSerialize,
          deserialize,
          request,
          new Metadata({ waitForReady: true }),
          { deadline: Date.now() + timeoutMs },
          (error, decoded) => {
            signal?.removeEventListener('abort', onAbort);
            if (error !== null) {
              reject(signal?.aborted === true ? cancelled(signal.reason) : fail(name, error));
            } else if (decoded === undefined) {
              reject(invalidResponse(name, 'there is no message'));
            } else if ('failure' in decoded) {
              reject(invalidResponse(name, 'it is not a protobuf message of this method', decoded.failure));
            } else {
              resolve(decoded.response);
            }
          },
        );
        signal?.addEventListener('abort', onAbort, { once: true });
      }),
  };
}
