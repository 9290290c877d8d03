/** Reads everything once: for a file whose length does not fit, before anything is built on it. */
import { parseLogEntry } from './change-log.js';
import type { Environment } from './environment.js';
import { historyOwner, ownerKey } from './history-key.js';
import { parseRecord } from './record.js';

/** Throws `corrupt`, or LMDB's own error, at the first page or record that is damaged. */
export function verifyTables({ tables, snapshot }: Environment): void {
  for (const { key, value } of tables.current.entries(snapshot, {})) parseRecord(key, value);
  for (const { key, value } of tables.history.entries(snapshot, {})) {
    parseRecord(ownerKey(historyOwner(key)), value);
  }
  for (const { key, value } of tables.log.entries(snapshot, {})) {
    parseLogEntry(key, value);
  }
}
