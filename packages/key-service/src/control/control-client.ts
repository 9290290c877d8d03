/** The other end of `control.sock`: asks the key service that runs on a data directory, if one does. */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { parseObject } from '../audit/chain.js';
import type { AccessExplanation, AccessQuestion } from '../explain-access.js';
import { KeyServiceError, type KeyServiceErrorCode } from '../errors.js';
import type { JsonObject } from '../http/json-body.js';
import { controlSocketPath } from './control-server.js';

export interface RunningKeyService {
  status(): Promise<JsonObject>;
  /** The file, piece by piece. A service that cannot go on cuts it off with an error. */
  backup(): Promise<AsyncIterable<Buffer>>;
  /** @param to as the service's RootKeyProtectorChoice */
  reseal(to: JsonObject): Promise<JsonObject>;
  /** @throws KeyServiceError invalid-option when the principal or key is not there */
  explainAccess(question: Omit<AccessQuestion, 'nowMs'>): Promise<AccessExplanation>;
  /** Has the service read its configuration file again. @throws KeyServiceError invalid-principals: the old one stays in force */
  reload(): Promise<JsonObject>;
}

/** Undefined when no service runs there. */
export async function findRunningKeyService(dataDir: string): Promise<RunningKeyService | undefined> {
  const path = controlSocketPath(dataDir);
  if (path === undefined) return undefined;
  const running: RunningKeyService = {
    status: async () => json(await ask(path, 'GET', '/status')),
    backup: () => request(path, 'POST', '/backup'),
    reseal: async (to) => json(await ask(path, 'POST', '/reseal', to)),
    explainAccess: async (question) =>
      // The service is of this package: what it sends is an AccessExplanation.
      json(await ask(path, 'POST', '/explain-access', { ...question })) as unknown as AccessExplanation,
    reload: async () => json(await ask(path, 'POST', '/reload')),
  };
  try {
    await running.status();
    return running;
  } catch (error) {
    if (
      error instanceof Error &&
      'code' in error &&
      (error.code === 'ENOENT' || error.code === 'ECONNREFUSED')
    ) {
      return undefined;
    }
    throw error;
  }
}

function json(body: Buffer): JsonObject {
  return parseObject(body.toString('utf8')) ?? {};
}

async function ask(socketPath: string, method: string, path: string, body?: JsonObject): Promise<Buffer> {
  return readAll(await request(socketPath, method, path, body));
}

/** Resolves when the answer begins. @throws KeyServiceError the service's own */
async function request(
  socketPath: string,
  method: string,
  path: string,
  body?: JsonObject,
): Promise<IncomingMessage> {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = httpRequest({ socketPath, method, path, agent: false }, resolve);
    outgoing.on('error', reject);
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
  if (answer.statusCode === 200) return answer;
  throw toError(json(await readAll(answer)));
}

async function readAll(answer: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The service's own error, as if it had been thrown here. */
function toError({ code, message }: JsonObject): Error {
  // The code comes from this package's own server.
  return new KeyServiceError(String(code) as KeyServiceErrorCode, String(message));
}
