/** The gate: nobody lost, nobody let in twice, the important ones first. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  createCallGate,
  priorities,
  type CallGate,
  type CallGateOptions,
  type Priority,
} from './call-gate.js';
import { ProviderError } from './errors.js';
import { createFakeClock, type FakeClock } from './testing/fake-clock.js';
import { settled } from './testing/settled.js';
import { createTokenBucket } from './token-bucket.js';

function gate(
  options: Partial<CallGateOptions> = {},
  clock = createFakeClock(),
): {
  readonly gate: CallGate;
  readonly clock: FakeClock;
} {
  return {
    gate: createCallGate({ clock, inFlightMax: 1, queueMax: 4, onRateLimited: () => {}, ...options }),
    clock,
  };
}

const never = new AbortController().signal;
const isOverloaded = (error: unknown): boolean =>
  error instanceof ProviderError && error.failure.class === 'throttled';

test('Decrypts go before Encrypts, Encrypts before probes, each in the order they came', async () => {
  const { gate: g } = gate();
  const order: string[] = [];
  const enter = (name: string, priority: Priority): void => {
    void g.wait(priority, never).then(() => order.push(name));
  };
  assert.ok(g.tryEnter('probe'));
  enter('probe', 'probe');
  enter('encrypt 1', 'encrypt');
  enter('encrypt 2', 'encrypt');
  enter('decrypt', 'decrypt');
  assert.equal(g.tryEnter('decrypt'), false, 'nobody goes past the line');
  assert.deepEqual(
    priorities.map((priority) => g.queued(priority)),
    [1, 2, 1],
  );
  for (let i = 0; i < 4; i++) {
    g.leave();
    await settled();
  }
  assert.deepEqual(order, ['decrypt', 'encrypt 1', 'encrypt 2', 'probe']);
});

test('a full line refuses the least important: the newcomer, or whoever has come last', async () => {
  const { gate: g } = gate({ queueMax: 2 });
  g.tryEnter('encrypt');
  const [first, second] = [g.wait('encrypt', never), g.wait('encrypt', never)];
  await assert.rejects(g.wait('encrypt', never), isOverloaded);
  await assert.rejects(g.wait('probe', never), isOverloaded);
  const decrypt = g.wait('decrypt', never);
  await assert.rejects(second, isOverloaded);
  g.leave();
  await decrypt;
  g.leave();
  await first;
});

test('who need not wait any more leaves the line', async () => {
  const { gate: g } = gate();
  g.tryEnter('encrypt');
  const abort = new AbortController();
  const gone = g.wait('decrypt', abort.signal);
  const next = g.wait('encrypt', never);
  abort.abort();
  await assert.rejects(gone, isOverloaded);
  await assert.rejects(g.wait('decrypt', abort.signal), isOverloaded);
  assert.equal(g.queued('decrypt'), 0);
  g.leave();
  await next;
  assert.equal(g.inFlight(), 1);
});

test('a rate limit lets a Decrypt take the next token, whoever came before', async () => {
  const clock = createFakeClock();
  let limited = 0;
  const { gate: g } = gate(
    {
      inFlightMax: 10,
      rateLimit: createTokenBucket({ perSecond: 10, burst: 1, clock }),
      onRateLimited: () => {
        limited += 1;
      },
    },
    clock,
  );
  const order: string[] = [];
  assert.ok(g.tryEnter('encrypt'));
  assert.equal(g.tryEnter('encrypt'), false);
  void g.wait('encrypt', never).then(() => order.push(`encrypt ${clock.nowMs()}`));
  void g.wait('decrypt', never).then(() => order.push(`decrypt ${clock.nowMs()}`));
  assert.equal(limited, 2, 'whoever waits is counted once, whether or not it found the line empty');
  for (let i = 0; i < 4; i++) {
    clock.advance(50);
    await settled();
  }
  assert.deepEqual(order, ['decrypt 100', 'encrypt 200']);
  assert.equal(limited, 2);
});

test('a hundred calls against a rate of 50 and a burst of 10: ninety are counted as limited', async () => {
  const clock = createFakeClock();
  let limited = 0;
  const { gate: g } = gate(
    {
      inFlightMax: 128,
      queueMax: 80,
      rateLimit: createTokenBucket({ perSecond: 50, burst: 10, clock }),
      onRateLimited: () => {
        limited += 1;
      },
    },
    clock,
  );
  const calls: Promise<unknown>[] = [];
  for (let i = 0; i < 100; i++) if (!g.tryEnter('encrypt')) calls.push(g.wait('encrypt', never));
  assert.equal(limited, 90, 'those refused by a full line as well');
  const settledCalls = Promise.allSettled(calls);
  clock.advance(1600);
  const results = await settledCalls;
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 80);
  assert.equal(limited, 90);
});

test('a call that waits for a slot is limited only if the line also comes to wait for a token', async () => {
  const clock = createFakeClock();
  let limited = 0;
  const { gate: g } = gate(
    {
      rateLimit: createTokenBucket({ perSecond: 10, burst: 2, clock }),
      onRateLimited: () => {
        limited += 1;
      },
    },
    clock,
  );
  assert.ok(g.tryEnter('encrypt'));
  const [slot, token] = [g.wait('encrypt', never), g.wait('encrypt', never)];
  g.leave();
  await slot;
  assert.equal(limited, 0);
  g.leave();
  clock.advance(100);
  await token;
  assert.equal(limited, 1);
});

test('whatever comes, leaves and gives up: every call is answered once, and priority is never inverted', async () => {
  const acts = fc.array(
    fc.record({
      act: fc.constantFrom('enter', 'enter', 'leave', 'give-up', 'pause'),
      priority: fc.constantFrom(...priorities),
      pick: fc.nat(1000),
    }),
    { maxLength: 120 },
  );
  await fc.assert(
    fc.asyncProperty(acts, fc.boolean(), async (all, limited) => {
      const clock = createFakeClock();
      const inFlightMax = 3;
      const { gate: g } = gate(
        {
          inFlightMax,
          queueMax: 5,
          rateLimit: limited ? createTokenBucket({ perSecond: 100, burst: 2, clock }) : undefined,
        },
        clock,
      );
      const waiting = new Map<number, { readonly priority: Priority; readonly abort: AbortController }>();
      const answers = new Map<number, number>();
      let running = 0;
      const answered = (id: number): void => {
        waiting.delete(id);
        answers.set(id, (answers.get(id) ?? 0) + 1);
      };
      const importance = (priority: Priority): number => priorities.indexOf(priority);
      let inverted = false;
      for (const [id, { act, priority, pick }] of all.entries()) {
        if (act === 'enter') {
          answers.set(id, 0);
          if (g.tryEnter(priority)) {
            answered(id);
            running += 1;
          } else {
            const abort = new AbortController();
            waiting.set(id, { priority, abort });
            g.wait(priority, abort.signal).then(
              () => {
                answered(id);
                running += 1;
                for (const other of waiting.values())
                  if (importance(other.priority) < importance(priority)) inverted = true;
                return undefined;
              },
              () => answered(id),
            );
          }
        } else if (act === 'leave' && running > 0) {
          running -= 1;
          g.leave();
        } else if (act === 'give-up') {
          [...waiting.values()][pick % Math.max(1, waiting.size)]?.abort.abort();
        } else if (act === 'pause') {
          clock.advance(pick % 40);
        }
        await settled();
        assert.equal(g.inFlight(), running);
        assert.ok(running <= inFlightMax);
      }
      for (let i = 0; i < 20; i++) {
        while (running > 0) {
          running -= 1;
          g.leave();
        }
        clock.advance(100);
        await settled();
      }
      assert.equal(inverted, false);
      assert.deepEqual([...new Set(answers.values())], answers.size === 0 ? [] : [1]);
      assert.equal(waiting.size, 0);
    }),
    { seed: 20261122, numRuns: 100 },
  );
});
