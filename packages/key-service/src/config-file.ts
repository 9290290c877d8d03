/**
 * The configuration file of a running service: who may call, how often, and which tokens custom key stores may use. A change of the file takes effect without a restart.
 *
 * The file is looked at every two seconds, and at once when asked (the control socket, a signal). A file that cannot be used changes
 * nothing: what was read before stays, and the log says once what is wrong. Fixed keys in the file are made at start only.
 */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { Logger } from 'pino';
import { parsePrincipals } from './access/principals-file.js';
import type { PrincipalDirectory } from './access/principals.js';
import { parseTokens, type TokenConfig } from './custom-key-stores/token-config.js';
import type { Quotas } from './throttle/throttle.js';
import { parseThrottling } from './throttle/throttling-file.js';

const POLL_MS = 2_000;

export interface ConfigFileOptions {
  readonly path: string;
  readonly logger: Logger;
  /** Called once with the file's text, for what is read from it at start only. */
  readonly atStart?: (text: string) => void;
  /** How often the file is looked at; default 2 seconds. */
  readonly pollMs?: number;
}

export interface ConfigFile {
  /** Always those of the file as last read. */
  readonly principals: PrincipalDirectory;
  readonly quotas: Quotas;
  /** Of custom key stores. One that is taken out is not logged into any more; a store that is connected to it stays so until it is disconnected. */
  readonly tokens: readonly TokenConfig[];
  /** Reads the file now. @throws KeyServiceError invalid-principals, and the file system's errors; what was read before stays */
  reload(): Promise<void>;
  close(): Promise<void>;
}

/** @throws KeyServiceError invalid-principals; the file system's errors */
export async function openConfigFile({
  path,
  logger,
  atStart = () => undefined,
  pollMs = POLL_MS,
}: ConfigFileOptions): Promise<ConfigFile> {
  // The text may hold key material: nothing keeps it, only its digest.
  const first = await readFile(path, 'utf8');
  let digest = sha256(first);
  let present = parsePrincipals(first);
  const quotas = new Map(parseThrottling(first));
  const tokens = [...parseTokens(first)];
  atStart(first);
  let lookedAt = await fingerprint(path);
  let work: Promise<void> = Promise.resolve();

  async function read(): Promise<void> {
    // Before the content: a change while it is read is seen by the next look.
    lookedAt = await fingerprint(path);
    const changed = await readFile(path, 'utf8');
    if (sha256(changed).equals(digest)) return;
    const next = parsePrincipals(changed);
    const nextQuotas = parseThrottling(changed);
    const nextTokens = parseTokens(changed);
    digest = sha256(changed);
    present = next;
    quotas.clear();
    for (const [name, quota] of nextQuotas) quotas.set(name, quota);
    tokens.splice(0, tokens.length, ...nextTokens);
    logger.info(
      { path },
      'the configuration file has changed: its principals, quotas and tokens are in force',
    );
  }

  /** One reading at a time, so that an older one never overtakes a newer one. */
  function reload(): Promise<void> {
    const reading = work.then(read);
    work = reading.catch(() => undefined);
    return reading;
  }

  async function look(): Promise<void> {
    const before = lookedAt;
    try {
      if ((await fingerprint(path)) !== before) await reload();
    } catch (error) {
      logger.error(
        { reason: error instanceof Error ? error.message : String(error), path },
        'the configuration file cannot be used: the principals read before stay in force',
      );
    }
  }

  let looking: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    looking = looking.then(look);
  }, pollMs);
  timer.unref();

  return {
    principals: {
      findAccessKey: (id) => present.findAccessKey(id),
      findRole: (arn) => present.findRole(arn),
      findPrincipal: (arn) => present.findPrincipal(arn),
      get accountIds() {
        return present.accountIds;
      },
      hasPrincipal: (arn) => present.hasPrincipal(arn),
    },
    quotas,
    tokens,
    reload,
    async close() {
      clearInterval(timer);
      await looking;
      await work;
    },
  };
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** Another for every change, however short the time between two; `absent` while there is no file. */
async function fingerprint(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join('/');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return 'absent';
    throw error;
  }
}
