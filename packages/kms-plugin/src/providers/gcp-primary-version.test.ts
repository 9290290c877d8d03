/** Which version is in use, by what answers name. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPrimaryVersion, settleMs } from './gcp-primary-version.js';

test('the first version and every higher one are taken at once, by number and not by text', () => {
  const primary = createPrimaryVersion();
  assert.equal(primary.current(), undefined);
  assert.equal(primary.observe('9', 0), true);
  assert.equal(primary.observe('9', 1), false);
  assert.equal(primary.observe('10', 2), true);
  assert.equal(primary.current(), '10');
});

test('a lower version must be named for a while, and by nothing else in between', () => {
  const primary = createPrimaryVersion();
  primary.observe('3', 0);
  assert.equal(primary.observe('2', 0), false);
  assert.equal(primary.observe('3', settleMs - 1), false);
  assert.equal(primary.observe('2', settleMs), false, 'the count began again');
  assert.equal(primary.observe('1', settleMs * 2), false, 'another lower one has its own count');
  assert.equal(primary.observe('1', settleMs * 3 - 1), false);
  assert.equal(primary.observe('1', settleMs * 3), true);
  assert.equal(primary.current(), '1');
});

test('a version that was given up is left for whatever is named next', () => {
  const primary = createPrimaryVersion();
  primary.observe('3', 0);
  primary.abandon();
  assert.equal(primary.current(), '3');
  assert.equal(primary.observe('1', 1), true);
  assert.equal(primary.observe('3', 2), true);
});
