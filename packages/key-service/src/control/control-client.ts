/** The other end of `control.sock`: asks the key service that runs on a data directory, if one does. */
import { request } from 'node:http';
import { parseObject } from '../audit/chain.js';
import { KeyServiceError, type KeyServiceErrorCode } from '../errors.js';
import type { JsonObject } from '../http/json-body.js';
import { controlSocketPath } from './control-server.js';

export interface RunningKeyService {
  status(): Promise<JsonObject>;
  backup(): Promise<Buffer>;
  /** @param to as the service's RootKeyProtectorChoice */
  reseal(to: JsonObject): Promise<JsonObject>;
  /** Has the service read its configuration file again. @throws KeyServiceError invalid-principals: the old one stays in force */
  reload(): Promise<JsonObject>;
}

/** Undefined when no service runs there. */
export async function findRunningKeyService(dataDir: string): Promise<RunningKeyService | undefined> {
  const path = controlSocketPath(dataDir);
  if (path === undefined) return undefined;
  const running: RunningKeyService = {
    status: async () => json(await ask(path, 'GET', '/status')),
    backup: () => ask(path, 'POST', '/backup'),
    reseal: async (to) => json(await ask(path, 'POST', '/reseal', to)),
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

function ask(socketPath: string, method: string, path: string, body?: JsonObject): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, method, path, agent: false }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => {
        const content = Buffer.concat(chunks);
        if (answer.statusCode === 200) resolve(content);
        else reject(toError(json(content)));
      });
    });
    outgoing.on('error', reject);
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** The service's own error, as if it had been thrown here. */
function toError({ code, message }: JsonObject): Error {
  // The code comes from this package's own server.
  return new KeyServiceError(String(code) as KeyServiceErrorCode, String(message));
}
