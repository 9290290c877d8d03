import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCkDate, renderCkDate } from './dates.js';

test('a day is eight digits, and nothing else is one', () => {
  const day = new Date('2031-02-28T00:00:00Z');
  assert.equal(renderCkDate(day).toString(), '20310228');
  assert.deepEqual(parseCkDate(renderCkDate(day)), day);
  for (const none of ['', '2031022', '203102280', '20311301', '00000000', '\0\0\0\0\0\0\0\0', 'yyyymmdd']) {
    assert.equal(parseCkDate(Buffer.from(none)), undefined, none);
  }
  assert.equal(parseCkDate(undefined), undefined);
});
