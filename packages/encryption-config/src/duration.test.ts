/** Goal: durations read and print as Go's do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatDuration, parseDuration } from './duration.js';

test('durations parse', () => {
  const cases: Record<string, number> = {
    '0': 0,
    '3s': 3000,
    '1m30s': 90_000,
    '1.5h': 5_400_000,
    '-.5s': -500,
    '+1ms': 1,
    '1us1ns': 0.001001,
    '2µs': 0.002,
    '1.s': 1000,
  };
  for (const [text, ms] of Object.entries(cases)) assert.deepEqual(parseDuration(text), { ms }, text);
});

test('what is no duration is refused in Go’s words', () => {
  const cases: Record<string, string> = {
    '': 'time: invalid duration ""',
    '-': 'time: invalid duration "-"',
    soon: 'time: invalid duration "soon"',
    '3': 'time: missing unit in duration "3"',
    '3s4': 'time: missing unit in duration "3s4"',
    '3d': 'time: unknown unit "d" in duration "3d"',
    '1s-1s': 'time: unknown unit "s-" in duration "1s-1s"',
    '9999999h': 'time: invalid duration "9999999h"',
    '.s': 'time: invalid duration ".s"',
  };
  for (const [text, problem] of Object.entries(cases))
    assert.deepEqual(parseDuration(text), { problem }, text);
});

test('durations print', () => {
  const cases: [number, string][] = [
    [0, '0s'],
    [3000, '3s'],
    [90_000, '1m30s'],
    [3_600_000, '1h0m0s'],
    [1500, '1.5s'],
    [500, '500ms'],
    [0.0015, '1.5µs'],
    [-1, '-1ms'],
    [0.000001, '1ns'],
  ];
  for (const [ms, text] of cases) assert.equal(formatDuration(ms), text);
});
