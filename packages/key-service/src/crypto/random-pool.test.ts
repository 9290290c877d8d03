// Goal: the pool hands out exactly the generator's bytes, each once, whatever sizes are asked for.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { createRandomPool } from './random-pool.js';

test('no byte is handed out twice', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 8192 }), { maxLength: 40 }), (sizes) => {
      let position = 0;
      // A generator whose every four bytes are their own position.
      const counter = (size: number): Buffer => {
        const bytes = Buffer.alloc(size);
        for (let at = 0; at + 4 <= size; at += 4) bytes.writeUInt32BE(position++, at);
        return bytes;
      };
      const pool = createRandomPool(counter);
      const seen = new Set<string>();
      for (const size of sizes) {
        const bytes = pool(size);
        assert.equal(bytes.length, size);
        const place = bytes.toString('hex');
        if (size >= 8) seen.add(place);
      }
      assert.equal(seen.size, sizes.filter((size) => size >= 8).length);
    }),
  );
});
