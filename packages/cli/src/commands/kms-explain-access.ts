/** `waxseal kms explain-access`: which statement decides what a principal may do with a key. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type AccessExplanation,
  type AccessFacts,
  accessFactsOfSeeds,
  explainAccess,
  findRunningKeyService,
  openAccessFacts,
  parseKeySeeds,
  parsePrincipals,
} from '@waxseal/key-service';
import { openLmdbStore } from '@waxseal/storage';
import { CliError, exitCodes } from '../errors.js';
import { createLogger } from '../logging.js';
import type { OutputFormat } from '../options.js';

export interface ExplainAccessOptions {
  readonly dataDir?: string;
  readonly config?: string;
  readonly principal: string;
  readonly action: string;
  readonly key?: string;
  readonly region: string;
  /** Encryption context. */
  readonly context?: Record<string, string>;
  readonly condition?: Record<string, string>;
  readonly output: OutputFormat;
}

export async function explainAccessCommand(options: ExplainAccessOptions): Promise<void> {
  const { dataDir, config } = options;
  const file = config ?? (dataDir === undefined ? undefined : join(dataDir, 'principals.yaml'));
  if (file === undefined) {
    throw new CliError(
      'neither --data-dir nor --config is given',
      'Give the data directory of the key service, its configuration file, or both.',
      exitCodes.usage,
    );
  }
  const explanation = await explain(file, options);
  if (!explanation.allowed) process.exitCode = exitCodes.negative;
  console.log(options.output === 'json' ? JSON.stringify(explanation) : describe(explanation));
}

/** By the service that runs on the data directory, with the principals it has; else from what lies there. */
async function explain(file: string, options: ExplainAccessOptions): Promise<AccessExplanation> {
  const { dataDir, config } = options;
  const question = {
    principal: options.principal,
    action: options.action,
    region: options.region,
    ...(options.key === undefined ? {} : { keyId: options.key }),
    ...(options.context === undefined ? {} : { encryptionContext: options.context }),
    ...(options.condition === undefined ? {} : { conditionKeys: options.condition }),
  };
  const running =
    dataDir === undefined ? undefined : await findRunningKeyService(join(dataDir, 'key-service'));
  if (running !== undefined) {
    if (config === undefined) return running.explainAccess(question);
    throw new CliError(
      `a key service runs on ${dataDir}, and answers with the configuration it was started with`,
      'Leave --config out; to ask about another configuration, give it alone, without --data-dir.',
      exitCodes.usage,
    );
  }
  const text = readFileSync(file, 'utf8');
  const principals = parsePrincipals(text);
  const { facts, close } = await openFacts(dataDir, text);
  try {
    return explainAccess(facts, principals, { ...question, nowMs: Date.now() });
  } finally {
    await close();
  }
}

async function openFacts(
  dataDir: string | undefined,
  config: string,
): Promise<{ readonly facts: AccessFacts; readonly close: () => Promise<void> }> {
  if (dataDir === undefined) {
    // Material is not looked at: whether the service would take it is the service's affair.
    const facts = accessFactsOfSeeds(parseKeySeeds(config, { allowPlaintext: true }));
    return { facts, close: () => Promise.resolve() };
  }
  const path = join(dataDir, 'key-service', 'store');
  if (!existsSync(path)) {
    throw new CliError(
      `${dataDir} holds no key service`,
      'Check --data-dir; for a configuration that has not been served yet, give --config alone.',
    );
  }
  const store = await openLmdbStore({ path });
  const facts = await openAccessFacts(store, createLogger('warn'));
  return {
    facts,
    async close() {
      facts.close();
      await store.close();
    },
  };
}

function describe({ allowed, principal, action, resource, reason, decidedBy }: AccessExplanation): string {
  const lines = decidedBy.map((by) => {
    if (by.source === 'grant') return `  grant ${by.grantId}`;
    if (by.source === 'root') return '  the account root needs no identity policy';
    const sid = by.sid === undefined ? '' : ` "${by.sid}"`;
    return `  ${by.policy}, statement ${by.statement}${sid} (${by.effect})`;
  });
  return [`${allowed ? 'ALLOWED' : 'DENIED'}: ${principal} ${action} on ${resource}`, reason, ...lines].join(
    '\n',
  );
}
