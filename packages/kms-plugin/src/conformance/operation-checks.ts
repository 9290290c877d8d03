/** What happens to a plugin in its life: it is restarted, and its key backend goes away and comes back. */
import { rules, held, type Bench, type Check, type Verdict } from './check.js';
import { breach, expectAnswer, type Outcome, type Sealed, type Sealer } from './kms-calls.js';

const pollMs = 250;

interface Sample {
  readonly sealer: Sealer;
  readonly sealed: Sealed;
  readonly plaintext: Buffer;
}

async function sampleEach(bench: Bench): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  for (const sealer of bench.sealers) {
    const plaintext = bench.random(32);
    const sealed = expectAnswer('Encrypt of 32 bytes', await sealer.encrypt(plaintext));
    samples.push({ sealer, sealed, plaintext });
  }
  return samples;
}

/** Asks until it is so or the time is up; the last answer. */
async function until<T>(
  bench: Bench,
  ask: () => Promise<Outcome<T>>,
  enough: (outcome: Outcome<T>) => boolean,
): Promise<Outcome<T>> {
  const endMs = performance.now() + bench.waitMs;
  for (;;) {
    const outcome = await ask();
    if (enough(outcome) || performance.now() > endMs) return outcome;
    await bench.sleep(pollMs);
  }
}

interface Restart {
  readonly before: readonly Sample[];
  readonly keyIdBefore: string | undefined;
  readonly keyIdAfter: string | undefined;
  readonly versionBefore: string | undefined;
  readonly versionAfter: string | undefined;
}

/** Made once for all checks of a restart. */
function onceFor<T>(bench: Bench, name: string, make: () => Promise<T>): Promise<T> {
  const made = (bench.memo.get(name) as Promise<T> | undefined) ?? make();
  bench.memo.set(name, made);
  return made;
}

async function restart(bench: Bench, command: () => Promise<void>): Promise<Restart> {
  const status = async (): Promise<{ keyId?: string; version?: string }> =>
    bench.served.has('v2') ? expectAnswer('Status', await bench.calls.status()) : {};
  const before = await sampleEach(bench);
  const first = await status();
  await command();
  expectAnswer(
    'the first call after the restart',
    await until(
      bench,
      () => bench.ping(bench.connect()),
      (outcome) => outcome.ok,
    ),
  );
  const second = await status();
  return {
    before,
    keyIdBefore: first.keyId,
    keyIdAfter: second.keyId,
    versionBefore: first.version,
    versionAfter: second.version,
  };
}

const noRestart: Verdict = { kind: 'left-out', reason: 'give --restart-command to try it' };

export const restartChecks: readonly Check[] = [
  {
    id: 'restart.values',
    title: 'what was sealed before a restart opens after it',
    rule: `${rules.kep}: the KEK outlives the plugin`,
    advice: 'Keep the key outside the process, and derive nothing from its start.',
    needs: 'any',
    run: async (bench) => {
      const { restart: command } = bench.commands;
      if (command === undefined) return noRestart;
      const { before } = await onceFor(bench, 'restart', () => restart(bench, command));
      for (const { sealer, sealed, plaintext } of before) {
        const opened = expectAnswer(
          `Decrypt of a ${sealer.version} value of before`,
          await sealer.decrypt(sealed),
        );
        if (!opened.equals(plaintext)) throw breach('something else opens');
      }
      return held();
    },
  },
  {
    id: 'restart.status',
    title: 'key_id and version are the same after a restart',
    rule: `${rules.probe}: another key_id calls every object stale, another version makes the plugin unhealthy`,
    advice: 'Derive the key id from the key alone, and make the version a setting that does not change.',
    needs: 'v2',
    run: async (bench) => {
      const { restart: command } = bench.commands;
      if (command === undefined) return noRestart;
      const seen = await onceFor(bench, 'restart', () => restart(bench, command));
      if (seen.keyIdBefore !== seen.keyIdAfter) throw breach('key_id is another one');
      if (seen.versionBefore !== seen.versionAfter) throw breach('version is another one');
      return held();
    },
  },
];

interface Outage {
  readonly told: boolean;
  /** What Status said, or its error. */
  readonly reason: string;
  readonly slowestMs: number;
  readonly hung: readonly string[];
  readonly wrong: readonly string[];
  readonly blamesCaller: readonly string[];
  readonly healed: boolean;
  readonly stillOpens: boolean;
}

/** INVALID_ARGUMENT: it would say that the stored value is at fault. */
const invalidArgument = 3;

async function outage(
  bench: Bench,
  breakBackend: () => Promise<void>,
  healBackend: () => Promise<void>,
): Promise<Outage> {
  const samples = await sampleEach(bench);
  await breakBackend();
  const hung: string[] = [];
  const wrong: string[] = [];
  const blamesCaller: string[] = [];
  let slowestMs = 0;
  let told = false;
  let reason = '';
  try {
    for (const { sealer, sealed, plaintext } of samples) {
      for (const [what, outcome] of [
        [`${sealer.version} Encrypt`, await sealer.encrypt(plaintext)],
        [`${sealer.version} Decrypt`, await sealer.decrypt(sealed)],
      ] as const) {
        slowestMs = Math.max(slowestMs, outcome.durationMs);
        if (!outcome.ok && outcome.hung) hung.push(what);
        if (!outcome.ok && outcome.code === invalidArgument) blamesCaller.push(what);
        if (outcome.ok && Buffer.isBuffer(outcome.value) && !outcome.value.equals(plaintext))
          wrong.push(what);
      }
    }
    if (bench.served.has('v2')) {
      const last = await until(
        bench,
        () => bench.calls.status(),
        (outcome) => !outcome.ok || outcome.value.healthz !== 'ok',
      );
      slowestMs = Math.max(slowestMs, last.durationMs);
      if (!last.ok && last.hung) hung.push('Status');
      told = !last.ok || last.value.healthz !== 'ok';
      reason = last.ok ? last.value.healthz : last.said;
    }
  } finally {
    await healBackend();
  }
  const health = await until(
    bench,
    () => (bench.served.has('v2') ? bench.calls.status() : firstSeal(bench, samples)),
    (outcome) => outcome.ok && (!('healthz' in outcome.value) || outcome.value.healthz === 'ok'),
  );
  let stillOpens = true;
  for (const { sealer, sealed, plaintext } of samples) {
    const opening = await sealer.decrypt(sealed);
    stillOpens &&= opening.ok && opening.value.equals(plaintext);
  }
  const healed = health.ok && (!('healthz' in health.value) || health.value.healthz === 'ok');
  return { told, reason, slowestMs, hung, wrong, blamesCaller, healed, stillOpens };
}

async function firstSeal(
  bench: Bench,
  samples: readonly Sample[],
): Promise<Outcome<{ readonly healthz: string } | Sealed>> {
  const [sample] = samples;
  return sample === undefined ? bench.calls.status() : sample.sealer.encrypt(bench.random(32));
}

function judgeOutage(bench: Bench, judge: (seen: Outage) => Verdict): Promise<Verdict> {
  const { breakBackend, healBackend } = bench.commands;
  if (breakBackend === undefined || healBackend === undefined) {
    const reason = 'give --break-command and --heal-command to try it';
    return Promise.resolve({ kind: 'left-out', reason });
  }
  return onceFor(bench, 'outage', () => outage(bench, breakBackend, healBackend)).then(judge);
}

export const outageChecks: readonly Check[] = [
  {
    id: 'outage.told',
    title: 'while the key backend is away, Status says why',
    rule: `${rules.api} StatusResponse.healthz`,
    advice: 'Try the key in the background, and let healthz say in a sentence what failed.',
    needs: 'v2',
    run: (bench) =>
      judgeOutage(bench, ({ told, reason }) => {
        if (!told) throw breach(`Status still said ok after ${bench.waitMs} ms`);
        if (reason === '') throw breach('Status said neither ok nor a reason');
        return held(JSON.stringify(reason.slice(0, 100)));
      }),
  },
  {
    id: 'outage.calls',
    title: 'while the key backend is away, calls end in time and blame nobody else',
    rule: 'EncryptionConfiguration: kms.timeout, 3 s by default',
    advice: 'Give backend calls a deadline inside that of the caller, and answer UNAVAILABLE or the like.',
    needs: 'any',
    run: (bench) =>
      judgeOutage(bench, ({ hung, wrong, blamesCaller, slowestMs }) => {
        if (wrong.length > 0) throw breach(`${wrong.join(', ')} answered something else`);
        if (hung.length > 0) throw breach(`${hung.join(', ')} hung`);
        if (blamesCaller.length > 0) throw breach(`${blamesCaller.join(', ')} answered INVALID_ARGUMENT`);
        if (slowestMs > bench.budgetMs)
          throw breach(`a call took ${Math.round(slowestMs)} ms, the caller waits ${bench.budgetMs} ms`);
        return held(`slowest ${Math.round(slowestMs)} ms`);
      }),
  },
  {
    id: 'outage.heals',
    title: 'when the key backend is back, the plugin is healthy by itself',
    rule: `${rules.probe}: a failing plugin is polled every 10 s`,
    advice: 'Go on trying, and let one success clear the error.',
    needs: 'any',
    run: (bench) =>
      judgeOutage(bench, ({ healed, stillOpens }) => {
        if (!healed) throw breach(`it is not healthy ${bench.waitMs} ms after the backend is back`);
        if (!stillOpens) throw breach('what was sealed before does not open');
        return held();
      }),
  },
];
