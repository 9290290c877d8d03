/**
 * Runs the conformance kit against a plugin that listens: one check after the other, and after each the plugin must still answer. A
 * check that the plugin did not survive has failed, whatever else it saw.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseEndpoint } from '@waxseal/kms-api';
import { KmsPluginError } from '../errors.js';
import type { Bench, Check, Commands, Verdict } from './check.js';
import { conformanceChecks } from './checks.js';
import { openGrpcConnection } from './grpc-connection.js';
import { createKmsCalls, unimplemented, type KmsCalls, type Outcome, type Version } from './kms-calls.js';

export interface ConformanceOptions {
  /** The plugin's socket, as `parseEndpoint` of kms-api takes it. */
  readonly endpoint: string;
  /** Ids of checks, or their beginning up to a dot (`v2`, `limits`); all by default. */
  readonly only?: readonly string[] | undefined;
  /** The same, for what is left out. */
  readonly skip?: readonly string[] | undefined;
  /** Of all random bytes; printed, so that a run can be repeated. */
  readonly seed: string;
  /** How long an API server waits for an answer; 3000 by default. */
  readonly budgetMs?: number | undefined;
  /** What has not answered by then hangs; 10,000 by default. */
  readonly hangMs?: number | undefined;
  /** Calls at once under load; 64 by default. */
  readonly inFlight?: number | undefined;
  /** How long load lasts; 5000 by default. */
  readonly loadMs?: number | undefined;
  /** How long a restart or an outage may take to show; 30,000 by default. */
  readonly waitMs?: number | undefined;
  readonly commands?: Commands | undefined;
  /** Told as each check ends. */
  readonly onResult?: ((result: CheckResult) => void) | undefined;
}

export type CheckStatus =
  | { readonly kind: 'passed'; readonly detail: string }
  | { readonly kind: 'failed'; readonly problem: string }
  /** Not tried, because it was not asked for or not possible; says nothing about the plugin. */
  | { readonly kind: 'not-run'; readonly reason: string }
  /** Tried in vain: the plugin fails elsewhere. It does not hold either. */
  | { readonly kind: 'not-judged'; readonly reason: string };

export interface CheckResult {
  readonly check: Pick<Check, 'id' | 'title' | 'rule' | 'advice'>;
  readonly status: CheckStatus;
  readonly durationMs: number;
}

export interface ConformanceReport {
  /** `unix://…` */
  readonly endpoint: string;
  readonly seed: string;
  readonly served: readonly Version[];
  readonly results: readonly CheckResult[];
  /** Everything that was asked for and can be asked of this plugin holds, and that is something. */
  readonly conforms: boolean;
  readonly durationMs: number;
}

/**
 * @throws KmsPluginError `no_plugin` when nothing answers, `invalid_options` for an id that no check has; KmsApiError
 * `invalid_endpoint`
 */
export async function runConformance(options: ConformanceOptions): Promise<ConformanceReport> {
  const startMs = performance.now();
  const chosen = chooseChecks(options.only, options.skip);
  const { netPath, url } = parseEndpoint(options.endpoint);
  const hangMs = options.hangMs ?? 10_000;
  const open = (): KmsCalls => createKmsCalls(openGrpcConnection(netPath), hangMs);
  const calls = open();
  try {
    const served = await detect(calls, url);
    const random = seededBytes(options.seed);
    const opened: KmsCalls[] = [];
    const bench: Bench = {
      netPath,
      served,
      calls,
      connect: () => {
        const fresh = open();
        opened.push(fresh);
        return fresh;
      },
      sealers: [...served].map((version) => calls[version]),
      ping: (of, call) => (served.has('v2') ? of.status(call) : of.v1Version(call)),
      random,
      budgetMs: options.budgetMs ?? 3000,
      inFlight: options.inFlight ?? 64,
      loadMs: options.loadMs ?? 5000,
      waitMs: options.waitMs ?? 30_000,
      commands: options.commands ?? {},
      sleep: (ms) => sleep(ms),
      memo: new Map(),
    };
    const results: CheckResult[] = [];
    let gone: string | undefined;
    for (const { check, wanted } of chosen) {
      const beganMs = performance.now();
      let status = statusWithout(check, wanted, served, gone);
      if (status === undefined) {
        status = statusOf(await judge(check, bench));
        for (const connection of opened.splice(0)) connection.close();
        const silence = await silenceAfter(bench, open);
        if (silence !== undefined) {
          const before = status.kind === 'failed' ? `${status.problem}; ` : '';
          status = { kind: 'failed', problem: `${before}the plugin does not answer any more: ${silence}` };
          if (!(await answersAgain(bench, open))) gone = check.id;
        }
      }
      const { id, title, rule, advice } = check;
      const result = {
        check: { id, title, rule, advice },
        status,
        durationMs: performance.now() - beganMs,
      };
      results.push(result);
      options.onResult?.(result);
    }
    const passed = results.some(({ status }) => status.kind === 'passed');
    const broken = results.some(({ status }) => status.kind === 'failed' || status.kind === 'not-judged');
    return {
      endpoint: url,
      seed: options.seed,
      served: [...served],
      results,
      conforms: passed && !broken,
      durationMs: performance.now() - startMs,
    };
  } finally {
    calls.close();
  }
}

interface Chosen {
  readonly check: Check;
  readonly wanted: boolean;
}

function chooseChecks(
  only: readonly string[] | undefined,
  skip: readonly string[] | undefined,
): readonly Chosen[] {
  const names = (name: string, { id }: Check): boolean => id === name || id.startsWith(`${name}.`);
  for (const name of [...(only ?? []), ...(skip ?? [])]) {
    if (!conformanceChecks.some((check) => names(name, check))) {
      throw new KmsPluginError(
        'invalid_options',
        `There is no check "${name}". The ids of all checks are listed by --list.`,
      );
    }
  }
  return conformanceChecks
    .filter((check) => only === undefined || only.some((name) => names(name, check)))
    .map((check) => ({ check, wanted: !(skip ?? []).some((name) => names(name, check)) }));
}

function statusWithout(
  check: Check,
  wanted: boolean,
  served: ReadonlySet<Version>,
  gone: string | undefined,
): CheckStatus | undefined {
  if (!wanted) return { kind: 'not-run', reason: 'left out by --skip' };
  if (check.needs !== 'any' && !served.has(check.needs))
    return { kind: 'not-run', reason: `KMS ${check.needs} is not served` };
  if (gone !== undefined) return { kind: 'not-judged', reason: `the plugin has not answered since ${gone}` };
  return undefined;
}

async function judge(check: Check, bench: Bench): Promise<Verdict | { kind: 'broken'; problem: string }> {
  try {
    return await check.run(bench);
  } catch (error) {
    if (error instanceof KmsPluginError) return { kind: 'broken', problem: error.message };
    throw error;
  }
}

function statusOf(verdict: Awaited<ReturnType<typeof judge>>): CheckStatus {
  switch (verdict.kind) {
    case 'held':
      return { kind: 'passed', detail: verdict.detail ?? '' };
    case 'broken':
      return { kind: 'failed', problem: verdict.problem };
    case 'left-out':
      return { kind: 'not-run', reason: verdict.reason };
    default:
      return { kind: verdict.kind satisfies 'not-judged', reason: verdict.reason };
  }
}

/** What a fresh connection meets, or undefined when it is served. */
async function silenceAfter(bench: Bench, open: () => KmsCalls): Promise<string | undefined> {
  const fresh = open();
  const outcome = await bench.ping(fresh);
  fresh.close();
  // An error of the plugin's own is an answer.
  return outcome.ok || outcome.code !== undefined ? undefined : outcome.said;
}

/** A plugin that somebody starts again gets the time for it; the other checks then go on. */
async function answersAgain(bench: Bench, open: () => KmsCalls): Promise<boolean> {
  const endMs = performance.now() + bench.waitMs;
  while (performance.now() < endMs) {
    await bench.sleep(Math.min(250, bench.waitMs / 4));
    if ((await silenceAfter(bench, open)) === undefined) return true;
  }
  return false;
}

/** The versions that are served, v2 first. */
async function detect(calls: KmsCalls, url: string): Promise<ReadonlySet<Version>> {
  const v2 = await calls.status();
  const v1 = await calls.v1Version();
  const served = new Set<Version>();
  if (isServed(v2)) served.add('v2');
  if (isServed(v1)) served.add('v1');
  if (served.size > 0) return served;
  const said = !v2.ok && v2.code === undefined ? v2.said : 'KMS v1 and v2 are both unknown to it';
  throw new KmsPluginError(
    'no_plugin',
    `No KMS plugin answers at ${url}: ${said}. Check that it runs, and that this user may connect.`,
  );
}

const isServed = (outcome: Outcome<unknown>): boolean =>
  outcome.ok || (outcome.code !== undefined && outcome.code !== unimplemented);

/** SHA-256 over seed and counter: the same bytes for the same seed. */
function seededBytes(seed: string): (sizeBytes: number) => Buffer {
  let counter = 0;
  return (sizeBytes) => {
    const blocks: Buffer[] = [];
    for (let have = 0; have < sizeBytes; have += 32) {
      blocks.push(createHash('sha256').update(`${seed}/${counter++}`).digest());
    }
    return Buffer.concat(blocks).subarray(0, sizeBytes);
  };
}
