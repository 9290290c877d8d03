/** Goal: times and durations read and print as Go's. Method: results of `time.ParseDuration` and `metav1.Time`. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import {
  formatDuration,
  formatMicros,
  formatSeconds,
  hasMicros,
  parseDuration,
  parseRfc3339,
} from './time.js';

describe('times', () => {
  it('reads RFC 3339 in any zone', () => {
    assert.deepEqual(parseRfc3339('1970-01-01T00:00:01Z'), { seconds: 1, nanos: 0 });
    assert.deepEqual(parseRfc3339('1970-01-01T02:00:00+02:00'), { seconds: 0, nanos: 0 });
    assert.deepEqual(parseRfc3339('1969-12-31T23:59:59.5Z'), { seconds: -1, nanos: 500_000_000 });
  });

  for (const text of [
    '',
    '2020-01-02',
    '2020-02-30T00:00:00Z',
    '2020-01-02T24:00:00Z',
    '2020-01-02t03:04:05z',
    '2020-13-01T00:00:00Z',
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.equal(parseRfc3339(text), undefined));
  }

  it('prints seconds, or six digits after them', () => {
    assert.equal(formatSeconds(0), '1970-01-01T00:00:00Z');
    assert.equal(formatMicros({ seconds: 1, nanos: 1_999 }), '1970-01-01T00:00:01.000001Z');
    assert.ok(hasMicros('2020-01-02T03:04:05.123456Z'));
    assert.ok(!hasMicros('2020-01-02T03:04:05Z'));
  });

  it('reads every second it prints', () => {
    fc.assert(
      fc.property(fc.integer({ min: -62_135_596_799, max: 253_402_300_799 }), (seconds) =>
        assert.deepEqual(parseRfc3339(formatSeconds(seconds)), { seconds, nanos: 0 }),
      ),
    );
  });
});

describe('durations', () => {
  for (const [text, printed] of [
    ['1h', '1h0m0s'],
    ['1.5h', '1h30m0s'],
    ['100ms', '100ms'],
    ['1us', '1µs'],
    ['1ns', '1ns'],
    ['1h2m3.5s', '1h2m3.5s'],
    ['-1m', '-1m0s'],
    ['0', '0s'],
    ['2562047h47m16.854775807s', '2562047h47m16.854775807s'],
  ] as const) {
    it(`${text} prints as ${printed}`, () =>
      assert.equal(formatDuration(parseDuration(text) ?? -1n), printed));
  }

  for (const text of ['', '1', '5', '1h1', '2562048h', 's', '-', '1'.repeat(1000)]) {
    it(`refuses ${JSON.stringify(text.slice(0, 12))}`, () => assert.equal(parseDuration(text), undefined));
  }

  it('reads every duration it prints', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }), (nanos) =>
        assert.equal(parseDuration(formatDuration(nanos)), nanos),
      ),
    );
  });
});
