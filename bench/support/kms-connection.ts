/** One keep-alive connection to a key service, one request under way: a raw socket, so that the client costs little. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type Credentials, createSigner, signable, timestampOf } from './sigv4.js';

export interface KmsEndpoint {
  /** `http://127.0.0.1:port` or `https://…`. */
  readonly url: string;
  /** PEM authority; needed for https. */
  readonly caFile?: string | undefined;
}

export type OnAnswer = (status: number, body: Buffer) => void;

const headEnd = '\r\n\r\n';

export class KmsConnection {
  readonly #socket: Socket;
  #received: Buffer | undefined;
  #onAnswer: OnAnswer | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    const fail = (): void => this.#answer(0, Buffer.alloc(0));
    socket.on('error', fail);
    socket.on('close', fail);
  }

  static async open({ url, caFile }: KmsEndpoint): Promise<KmsConnection> {
    const { protocol, hostname, port } = new URL(url);
    const address = { host: hostname, port: Number(port) };
    const secure = protocol === 'https:';
    const socket = secure
      ? connectTls({ ...address, ...(caFile !== undefined && { ca: readFileSync(caFile) }) })
      : connectTcp(address);
    socket.setNoDelay(true);
    await once(socket, secure ? 'secureConnect' : 'connect');
    return new KmsConnection(socket);
  }

  /** @param onAnswer gets status 0 when the connection breaks */
  send(request: Buffer, onAnswer: OnAnswer): void {
    this.#onAnswer = onAnswer;
    this.#socket.write(request);
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    const bytes = this.#received === undefined ? chunk : Buffer.concat([this.#received, chunk]);
    const end = bytes.indexOf(headEnd);
    const head = end < 0 ? '' : bytes.toString('latin1', 0, end);
    const bodyAt = end + headEnd.length;
    const bodyEnd = bodyAt + Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    if (end < 0 || bytes.length < bodyEnd) {
      this.#received = bytes;
      return;
    }
    this.#received = undefined;
    this.#answer(Number(head.slice(9, 12)), bytes.subarray(bodyAt, bodyEnd));
  }

  #answer(status: number, body: Buffer): void {
    const onAnswer = this.#onAnswer;
    this.#onAnswer = undefined;
    onAnswer?.(status, body);
  }
}

/** Calls one operation after the other; for preparing what is measured. */
export interface KmsClient {
  /** @throws Error when the answer is not 200 */
  call(operation: string, input: unknown): Promise<Readonly<Record<string, unknown>>>;
  close(): void;
}

export async function openClient(endpoint: KmsEndpoint, credentials: Credentials): Promise<KmsClient> {
  const connection = await KmsConnection.open(endpoint);
  const sign = createSigner(new URL(endpoint.url).host, credentials);
  return {
    call: (operation, input) =>
      new Promise((resolve, reject) => {
        const request = sign(operation, signable(input), timestampOf(Date.now()));
        connection.send(request, (status, body) => {
          const text = body.toString();
          if (status === 200)
            resolve(text === '' ? {} : (JSON.parse(text) as Readonly<Record<string, unknown>>));
          else reject(new Error(`${operation} answered ${status} ${text}`));
        });
      }),
    close: () => connection.close(),
  };
}
