/**
 * A process that writes a store's file anew. `node shrink-process.js DIRECTORY`
 *
 * Says `begin`, then `done`, or the code of the error.
 */
import { writeSync } from 'node:fs';
import { StoreError } from '../../store.js';
import { shrinkLmdbStore } from '../shrink.js';

const [path = ''] = process.argv.slice(2);
writeSync(1, 'begin\n');
try {
  await shrinkLmdbStore(path);
  writeSync(1, 'done\n');
} catch (error) {
  writeSync(1, `${error instanceof StoreError ? error.code : String(error)}\n`);
}
