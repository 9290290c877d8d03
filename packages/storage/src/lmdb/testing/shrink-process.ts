/**
 * A process that writes a store's file anew. `node shrink-process.js DIRECTORY`
 *
 * Says `begin`, then how it ended.
 */
import { writeSync } from 'node:fs';
import { StoreError, type StoreErrorCode } from '../../store.js';
import { shrinkLmdbStore } from '../shrink.js';

/** The line at its end. */
export type ShrinkOutcome = 'done' | StoreErrorCode;

const [path = ''] = process.argv.slice(2);
writeSync(1, 'begin\n');
writeSync(1, `${await outcome()}\n`);

async function outcome(): Promise<ShrinkOutcome> {
  try {
    await shrinkLmdbStore(path);
    return 'done';
  } catch (error) {
    if (error instanceof StoreError) return error.code;
    throw error;
  }
}
