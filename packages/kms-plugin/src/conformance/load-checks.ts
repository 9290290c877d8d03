/** Many calls at once: every answer must be that of its own question, in time. */
import { rules, held, type Check } from './check.js';
import { breach, expectAnswer } from './kms-calls.js';

const latencyCalls = 20;

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

const ms = (value: number): string => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

function summary(durationsMs: readonly number[]): string {
  const sorted = durationsMs.toSorted((a, b) => a - b);
  return `p50 ${ms(percentile(sorted, 0.5))}, p99 ${ms(percentile(sorted, 0.99))}, longest ${ms(sorted.at(-1) ?? 0)}`;
}

/** Runs `work` again and again, `inFlight` at once, until the time is up or one fails. */
async function atOnce(inFlight: number, forMs: number, work: () => Promise<void>): Promise<void> {
  const endMs = performance.now() + forMs;
  const run = { broken: false };
  const worker = async (): Promise<void> => {
    do {
      await work();
    } while (!run.broken && performance.now() < endMs);
  };
  await Promise.all(
    Array.from({ length: inFlight }, () =>
      worker().catch((error: unknown) => {
        run.broken = true;
        throw error;
      }),
    ),
  );
}

export const loadChecks: readonly Check[] = [
  {
    id: 'load.latency',
    title: 'every call is answered within the time an API server waits',
    rule: 'EncryptionConfiguration: kms.timeout, 3 s by default',
    advice: 'Look for the slow part behind the plugin; answer an error before the caller gives up.',
    needs: 'any',
    run: async (bench) => {
      const durations: number[] = [];
      const timed = <T>(what: string, outcome: Parameters<typeof expectAnswer<T>>[1]): T => {
        durations.push(outcome.durationMs);
        const value = expectAnswer(what, outcome);
        if (outcome.durationMs > bench.budgetMs) {
          throw breach(`${what} took ${ms(outcome.durationMs)}, the caller waits ${bench.budgetMs} ms`);
        }
        return value;
      };
      for (const sealer of bench.sealers) {
        for (let i = 0; i < latencyCalls; i++) {
          const sealed = timed('Encrypt', await sealer.encrypt(bench.random(32)));
          timed('Decrypt', await sealer.decrypt(sealed));
          timed(sealer.version === 'v2' ? 'Status' : 'Version', await bench.ping(bench.calls));
        }
      }
      return held(summary(durations));
    },
  },
  {
    id: 'load.own-answers',
    title: 'under load every caller gets its own plaintext back',
    rule: `${rules.kep}: an API server that starts opens one DEK source per distinct one, all at once`,
    advice: 'Share nothing between calls but what is immutable; queue calls rather than fail them.',
    needs: 'any',
    run: async (bench) => {
      const durations: number[] = [];
      for (const sealer of bench.sealers) {
        await atOnce(bench.inFlight, bench.loadMs / bench.sealers.length, async () => {
          const plaintext = bench.random(32);
          const encrypting = await sealer.encrypt(plaintext);
          const sealed = expectAnswer(`Encrypt with ${bench.inFlight} calls at once`, encrypting);
          const opening = await sealer.decrypt(sealed);
          const opened = expectAnswer(`Decrypt with ${bench.inFlight} calls at once`, opening);
          if (!opened.equals(plaintext)) throw breach("a Decrypt was answered with another's plaintext");
          durations.push(encrypting.durationMs, opening.durationMs);
        });
      }
      const perSecond = Math.round(durations.length / (bench.loadMs / 1000));
      return held(`${bench.inFlight} at once, ${perSecond} calls/s, ${summary(durations)}`);
    },
  },
  {
    id: 'load.encrypt-agrees',
    title: 'under load Encrypt and Status name the same key',
    rule: `${rules.probe}: a write key is taken only when Encrypt's key_id equals that of Status`,
    advice: 'Answer both from one snapshot of the key, without a moment in between.',
    needs: 'v2',
    run: async (bench) => {
      const said = new Set<string>();
      const used = new Set<string>();
      let turn = 0;
      await atOnce(Math.min(16, bench.inFlight), bench.loadMs / 4, async () => {
        turn += 1;
        if (turn % 4 === 0) {
          said.add(expectAnswer('Status under load', await bench.calls.status()).keyId);
        } else {
          const encrypting = await bench.calls.v2.encrypt(bench.random(32));
          used.add(expectAnswer('Encrypt under load', encrypting).keyId);
        }
      });
      said.add(expectAnswer('Status', await bench.calls.status()).keyId);
      if (said.size > 2) return { kind: 'not-judged', reason: 'the key id of Status changes all the time' };
      const strangers = [...used].filter((keyId) => !said.has(keyId));
      if (strangers.length > 0) {
        throw breach(`Encrypt named ${strangers.length} key ids that Status never did`);
      }
      return held(`${turn} calls`);
    },
  },
];
