/** The breaker as a state machine: by hand, and against any sequence of calls. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { createCircuitBreaker, type BreakerState, type CircuitBreaker } from './circuit-breaker.js';
import { givenUp, overloaded, ProviderError, unopenable } from './errors.js';
import { createFakeClock, type FakeClock } from './testing/fake-clock.js';

const down = new ProviderError('ECONNREFUSED', {
  class: 'unavailable',
  code: 'unavailable',
  advice: 'Down.',
});
const refused = new ProviderError('AccessDenied', {
  class: 'denied',
  code: 'permission_denied',
  advice: 'No.',
});

function breaking(random = () => 1): {
  readonly clock: FakeClock;
  readonly breaker: CircuitBreaker;
  readonly seen: BreakerState[];
} {
  const clock = createFakeClock();
  const seen: BreakerState[] = [];
  const breaker = createCircuitBreaker({
    clock,
    random,
    failuresMax: 3,
    openMs: 1000,
    openLongestMs: 4000,
    onChange: (state) => seen.push(state),
  });
  return { clock, breaker, seen };
}

/** One call, if it is let in. */
function call(breaker: CircuitBreaker, error?: ProviderError, probe = false): boolean {
  if (breaker.refusal(probe) !== undefined) return false;
  breaker.ended(error, probe);
  return true;
}

test('failures in a row open it, and the answer then is the last real reason', () => {
  const { breaker } = breaking();
  assert.ok(call(breaker, down) && call(breaker, down));
  assert.ok(call(breaker, refused), 'a refusal is an answer');
  assert.ok(call(breaker, down) && call(breaker, down));
  assert.equal(breaker.state, 'closed');
  assert.ok(call(breaker, down));
  assert.equal(breaker.state, 'open');
  const refusal = breaker.refusal(false);
  assert.equal(refusal?.message, 'not tried after ECONNREFUSED: Down.');
  assert.equal(refusal.failure.code, 'unavailable');
});

test('it stays open twice as long after each failed try, up to a limit; a success forgets all', () => {
  const { breaker, clock, seen } = breaking();
  for (let i = 0; i < 3; i++) call(breaker, down);
  for (const openMs of [1000, 2000, 4000, 4000]) {
    clock.advance(openMs - 1);
    assert.equal(call(breaker, down), false);
    clock.advance(1);
    assert.equal(breaker.refusal(false), undefined, 'one try');
    assert.equal(breaker.state, 'half-open');
    assert.notEqual(breaker.refusal(false), undefined, 'and only one');
    breaker.ended(down, false);
    assert.equal(breaker.state, 'open');
  }
  clock.advance(4000);
  assert.ok(call(breaker));
  assert.equal(breaker.state, 'closed');
  assert.deepEqual(seen.slice(-3), ['open', 'half-open', 'closed']);
  for (let i = 0; i < 3; i++) call(breaker, down);
  clock.advance(1000);
  assert.ok(call(breaker), 'open for the first time again');
});

test('a probe is let in at any time: its success closes, its failure prolongs nothing', () => {
  const { breaker, clock } = breaking();
  for (let i = 0; i < 3; i++) call(breaker, down);
  assert.ok(call(breaker, down, true));
  clock.advance(1000);
  assert.equal(breaker.refusal(false), undefined);
  breaker.ended(down, false);
  assert.ok(call(breaker, undefined, true));
  assert.equal(breaker.state, 'closed');
});

test('a try that never reached the backend leaves the next call to try', () => {
  for (const failure of [givenUp, overloaded]) {
    const { breaker, clock } = breaking();
    for (let i = 0; i < 3; i++) call(breaker, down);
    clock.advance(1000);
    assert.ok(call(breaker, new ProviderError('x', failure)));
    assert.equal(breaker.state, 'open');
    assert.ok(call(breaker, new ProviderError('x', unopenable)), 'the next one tries');
    assert.equal(breaker.state, 'closed');
  }
});

test('no sequence of calls, answers and pauses leaves it stuck, and open means that nothing gets through', () => {
  const steps = fc.array(
    fc.record({
      act: fc.constantFrom('call', 'ok', 'down', 'gone', 'probe-ok', 'probe-down', 'pause'),
      ms: fc.integer({ min: 0, max: 3000 }),
    }),
    { maxLength: 80 },
  );
  fc.assert(
    fc.property(steps, fc.double({ min: 0, max: 0.999, noNaN: true }), (all, jitter) => {
      const { breaker, clock, seen } = breaking(() => jitter);
      let underWay = 0;
      const end = (error?: ProviderError): void => {
        if (underWay === 0) return;
        underWay -= 1;
        breaker.ended(error, false);
      };
      const probed = (error?: ProviderError): void => {
        assert.equal(breaker.refusal(true), undefined);
        breaker.ended(error, true);
      };
      const acts: Readonly<Record<string, (ms: number) => void>> = {
        call: () => {
          const before = breaker.state;
          const letIn = breaker.refusal(false) === undefined;
          // From open it gets in only as the one try.
          assert.equal(letIn, before === 'closed' || (before === 'open' && breaker.state === 'half-open'));
          underWay += letIn ? 1 : 0;
        },
        ok: () => end(),
        down: () => end(down),
        gone: () => end(new ProviderError('x', givenUp)),
        'probe-ok': () => probed(),
        'probe-down': () => probed(down),
        pause: (ms) => clock.advance(ms),
      };
      for (const { act, ms } of all) acts[act]?.(ms);
      for (let left = underWay; left > 0; left -= 1) end(down);
      clock.advance(4000);
      assert.ok(call(breaker), 'after the longest pause a call is let in');
      assert.equal(breaker.state, 'closed');
      assert.ok(
        seen.every((state, i) => state !== seen[i - 1]),
        'told of changes only',
      );
    }),
    { seed: 20261122, numRuns: 300 },
  );
});
