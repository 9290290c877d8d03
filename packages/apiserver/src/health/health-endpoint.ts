/**
 * `/livez`, `/readyz`, `/healthz` and their single checks.
 *
 * Source of the rule: k8s.io/apiserver `server/healthz`. The list of checks is public, the reason of a failure is not:
 * it is in the log, and at the path of the single check, which RBAC keeps for administrators. KMS providers count for
 * readyz and healthz only: restarting a server does not repair a KMS.
 */
import type { HealthCheck } from '@waxseal/encryption-config';
import type { Logger } from 'pino';
import type { PathEndpoint } from '../http/path-endpoint.js';
import { textAnswer } from '../http/path-endpoint.js';

export interface HealthEndpointOptions {
  /** Checks of every endpoint but livez; asked for at each request, since configuration may be reloaded. */
  readonly checks: () => readonly HealthCheck[];
  readonly logger: Logger;
  readonly checkTimeoutMs: number;
}

const PING: HealthCheck = { name: 'ping', check: () => Promise.resolve() };

interface Outcome {
  readonly name: string;
  /** Undefined when healthy. */
  readonly error: string | undefined;
}

async function runCheck(check: HealthCheck, timeoutMs: number): Promise<Outcome> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    await Promise.race([check.check(), late]);
    return { name: check.name, error: undefined };
  } catch (error) {
    return { name: check.name, error: error instanceof Error ? error.message : 'failed' };
  } finally {
    clearTimeout(timer);
  }
}

export function createHealthEndpoint(options: HealthEndpointOptions): PathEndpoint {
  const { checks, logger, checkTimeoutMs } = options;
  const endpoints: Readonly<Record<string, () => readonly HealthCheck[]>> = {
    livez: () => [PING],
    readyz: () => [PING, ...checks()],
    healthz: () => [PING, ...checks()],
  };

  return async ({ path, query }) => {
    const [, name = '', ...rest] = path.split('/');
    const list = Object.hasOwn(endpoints, name) ? endpoints[name] : undefined;
    if (list === undefined) return undefined;

    // The names of checks may hold slashes.
    const single = rest.join('/');
    if (single !== '') {
      const check = list().find((candidate) => candidate.name === single);
      if (check === undefined) return undefined;
      const { error } = await runCheck(check, checkTimeoutMs);
      return error === undefined
        ? textAnswer(200, 'ok')
        : textAnswer(500, `internal server error: ${error}\n`);
    }

    const excluded = new Set(query?.getAll('exclude') ?? []);
    const outcomes = await Promise.all(
      list().map(async (check): Promise<Outcome> => {
        if (!excluded.delete(check.name)) return runCheck(check, checkTimeoutMs);
        return { name: `${check.name} excluded:`, error: undefined };
      }),
    );
    const lines = outcomes.map((outcome) =>
      outcome.error === undefined
        ? `[+]${outcome.name} ok\n`
        : `[-]${outcome.name} failed: reason withheld\n`,
    );
    if (excluded.size > 0) {
      const names = [...excluded].map((unknown) => JSON.stringify(unknown)).join(', ');
      lines.push(`warn: some health checks cannot be excluded: no matches for ${names}\n`);
    }
    const failed = outcomes.filter(({ error }) => error !== undefined);
    if (failed.length > 0) {
      logger.warn({ endpoint: name, failed }, 'health check failed');
      return textAnswer(500, `${lines.join('')}${name} check failed\n`);
    }
    if (query?.has('verbose') !== true) return textAnswer(200, 'ok');
    return textAnswer(200, `${lines.join('')}${name} check passed\n`);
  };
}
