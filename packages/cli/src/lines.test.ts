/** Goal: the same lines come out however the bytes are cut, and no line is held beyond its bound. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linesOf } from './lines.js';

async function* inChunks(text: string, size: number): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(text: string, size: number, maxBytes: number): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of linesOf(inChunks(text, size), maxBytes))
    lines.push(line.kind === 'line' ? line.bytes.toString() : `<${line.kind}>`);
  return lines;
}

test('lines do not depend on how the stream is cut', async () => {
  const text = 'one\r\n\ntwo\n  three é\nfour';
  for (let size = 1; size <= Buffer.byteLength(text); size++)
    assert.deepEqual(await read(text, size, 100), ['one', '', 'two', '  three é', 'four'], `${size}`);
});

test('a line over the bound is reported once and the next one is whole', async () => {
  for (let size = 1; size <= 20; size++) {
    assert.deepEqual(await read('12345678\n1234\n12345\n', size, 4), ['<too-long>', '1234', '<too-long>']);
    assert.deepEqual(await read('12345', size, 4), ['<too-long>']);
  }
});

test('nothing in, nothing out; a lone end is an empty line', async () => {
  assert.deepEqual(await read('', 1, 4), []);
  assert.deepEqual(await read('\n', 1, 4), ['']);
});
