/** Early warning under a fake clock: when keys are asked about, what is said, and that nothing waits for it. */
import assert from 'node:assert/strict';
import { setImmediate as settled } from 'node:timers/promises';
import { test } from 'node:test';
import { ProviderError, type Failure } from './errors.js';
import type { KeyCondition, KeyState } from './key-condition.js';
import { daysUntilUnreadable, startKeyWatch, type KeyWatch } from './key-watch.js';
import type { Logger } from './logger.js';
import type { ProviderMember } from './provider.js';
import { createFakeClock, type FakeClock } from './testing/fake-clock.js';
import { createFakeProvider } from './testing/fake-provider.js';

const dayMs = 86_400_000;
const epochMs = Date.UTC(2026, 0, 1);
const down: Failure = { class: 'unavailable', code: 'unavailable', advice: 'The backend is down.' };

interface Watched {
  readonly clock: FakeClock;
  readonly watch: KeyWatch;
  readonly lines: string[];
  readonly asked: string[];
  readonly days: Map<string, number>;
}

function watched(
  answers: Readonly<Record<string, () => Promise<KeyCondition>>>,
  roles: Readonly<Record<string, ProviderMember['role']>> = {},
): Watched {
  const clock = createFakeClock();
  const [lines, asked, days] = [[] as string[], [] as string[], new Map<string, number>()];
  const log = (fields: object, message: string): void => {
    lines.push(`${message} ${JSON.stringify(fields)}`);
  };
  const logger: Logger = { debug: log, info: log, warn: log };
  const members = Object.entries(answers).map(([name, describe]): ProviderMember => ({
    name,
    role: roles[name] ?? 'primary',
    provider: createFakeProvider({ describe }),
  }));
  const watch = startKeyWatch({
    keySet: 'cluster',
    members,
    clock,
    logger,
    epochMs: () => epochMs + clock.nowMs(),
    random: () => 0.5,
    onCondition: ({ name }, condition) => {
      days.set(name, daysUntilUnreadable(condition, epochMs + clock.nowMs()));
    },
    onAsked: ({ name }, result) => asked.push(`${name} ${result}`),
  });
  return { clock, watch, lines, asked, days };
}

const fine: KeyCondition = { state: 'usable', warnings: [] };

test('a key that is well is asked about every hour, one in danger every five minutes', async () => {
  let condition = fine;
  const { clock, watch, asked, lines, days } = watched({ a: () => Promise.resolve(condition) });
  const passing = async (ms: number): Promise<number> => {
    const before = asked.length;
    clock.advance(ms);
    await settled();
    return asked.length - before;
  };
  await watch.firstRound;
  assert.equal(asked.length, 1);
  assert.equal(days.get('a'), Infinity);
  assert.equal(await passing(3_599_999), 0);
  condition = { state: 'pending-deletion', unreadableFromMs: epochMs + 8 * dayMs, warnings: [] };
  assert.equal(await passing(1), 1);
  assert.match(watch.danger() ?? '', /^The primary key a will be deleted on 2026-01-09; cancel its deletion/);
  assert.ok(Math.abs((days.get('a') ?? 0) - (8 - 1 / 24)) < 1e-9);
  assert.equal(await passing(299_999), 0);
  assert.equal(await passing(1), 1);
  assert.equal(lines.length, 1, 'told once');
  assert.doesNotMatch(watch.danger() ?? '', /fake-key/);
  condition = fine;
  assert.equal(await passing(300_000), 1);
  assert.equal(watch.danger(), undefined);
  assert.match(lines.at(-1) ?? '', /well again/);
  watch.stop();
  assert.equal(await passing(10 * dayMs), 0);
});

test('a backend that fails or hangs keeps the last condition and is asked again soon', async () => {
  const answers: (() => Promise<KeyCondition>)[] = [
    () => Promise.resolve({ state: 'disabled', warnings: [] }),
    () => Promise.reject(new ProviderError('ECONNREFUSED', down)),
    () => Promise.reject(new ProviderError('ECONNREFUSED', down)),
    () => new Promise(() => {}),
    () => Promise.resolve(fine),
  ];
  const { clock, watch, asked, lines } = watched({ a: () => answers.shift()?.() ?? Promise.resolve(fine) });
  await watch.firstRound;
  for (let i = 0; i < 2; i++) {
    clock.advance(300_000);
    await settled();
  }
  assert.match(watch.danger() ?? '', /disabled/, 'what was known stays known');
  clock.advance(300_000);
  await settled();
  assert.equal(asked.length, 3, 'the fourth question is under way');
  clock.advance(10_000);
  await settled();
  assert.deepEqual(asked, ['a ok', 'a unavailable', 'a unavailable', 'a unavailable']);
  clock.advance(300_000);
  await settled();
  assert.equal(watch.danger(), undefined);
  assert.deepEqual(
    lines.map((line) => line.split('{')[0]?.trim()),
    [
      'the key may become unreadable',
      'the state of the key cannot be asked for',
      'the state of the key cannot be asked for',
      'the key is well again',
    ],
  );
  watch.stop();
});

test('a reader in danger is logged and says nothing of the keys that write', async () => {
  const gone = (): Promise<KeyCondition> => Promise.resolve({ state: 'gone', warnings: [] });
  const { watch, lines, days } = watched({ a: () => Promise.resolve(fine), old: gone }, { old: 'reader' });
  await watch.firstRound;
  assert.equal(watch.danger(), undefined);
  assert.equal(days.get('old'), 0);
  assert.match(lines.join(), /"keySet":"cluster","key":"old".*The reader key old does not exist/);
  const recipient = watched({ a: () => Promise.resolve(fine), b: gone }, { b: 'recipient' });
  await recipient.watch.firstRound;
  assert.match(recipient.watch.danger() ?? '', /recipient key b does not exist/);
  watch.stop();
  recipient.watch.stop();
});

test('a warning is told and is no danger; keys that cannot be asked about are left alone', async () => {
  const { watch, lines, asked } = watched({
    a: () => Promise.resolve({ state: 'usable', warnings: ['The key may be deleted.'] }),
  });
  await watch.firstRound;
  assert.equal(watch.danger(), undefined);
  assert.match(lines.join(), /The key may be deleted\./);
  assert.equal(asked.length, 1);
  watch.stop();
  const silent = startKeyWatch({
    keySet: 'cluster',
    members: [{ name: 'x', role: 'primary', provider: createFakeProvider() }],
    clock: createFakeClock(),
    epochMs: () => epochMs,
    random: () => 0,
    logger: { debug: () => {}, info: () => {}, warn: () => {} },
    onCondition: () => assert.fail('nothing was asked'),
  });
  await silent.firstRound;
  assert.equal(silent.conditions().size, 0);
  silent.stop();
});

test('days until unreadable, for every state', () => {
  const rows: readonly (readonly [KeyState, number | undefined, number])[] = [
    ['usable', undefined, Infinity],
    ['usable', 10, 10],
    ['usable', -1, 0],
    ['pending-deletion', 3, 3],
    ['pending-deletion', undefined, 0],
    ['disabled', 30, 0],
    ['pending-import', undefined, 0],
    ['expired', undefined, 0],
    ['gone', undefined, 0],
  ];
  for (const [state, inDays, expected] of rows) {
    const date = inDays === undefined ? {} : { unreadableFromMs: epochMs + inDays * dayMs };
    assert.equal(daysUntilUnreadable({ state, warnings: [], ...date }, epochMs), expected, state);
  }
});
