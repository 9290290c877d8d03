/**
 * A process that writes until it is killed. `node writer-process.js DIRECTORY WRITERS RUN`
 *
 * Says `ready`, then one line for every acknowledged write: `key revision`. The line goes out in one write(2) after the
 * answer, so whatever the parent has read was acknowledged.
 */
import { writeSync } from 'node:fs';
import { openLmdbStore } from '../open.js';

/** `key revision` */
export type AcknowledgedLine = `${string} ${number}`;

const [path = '', writers = '1', run = '0'] = process.argv.slice(2);
const store = await openLmdbStore({ path });
writeSync(1, 'ready\n');
await Promise.all(
  Array.from({ length: Number(writers) }, async (_, writer) => {
    for (let i = 0; ; i++) {
      const name = `${run}-${writer}-${i}`;
      const { revision } = await store.txn({
        compare: [],
        success: [
          { kind: 'put', key: Buffer.from(name), value: writtenValue(name) },
          { kind: 'put', key: Buffer.from(`last-${writer}`), value: Buffer.from(name) },
        ],
        failure: [],
      });
      const line: AcknowledgedLine = `${name} ${revision}`;
      writeSync(1, `${line}\n`);
    }
  }),
);

/** A few hundred bytes that tell which write they belong to. */
function writtenValue(name: string): Buffer {
  return Buffer.alloc(300 + name.length, name);
}
