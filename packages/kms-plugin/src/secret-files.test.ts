/** Secret files that others may read are told once each; those that are private or absent are not. */
import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { createSecretFileWatch } from './secret-files.js';
import { tempFolder } from './testing/temp-folder.js';

test('a file that others may read is told once, with its mode; a private or absent one is not', async (t) => {
  const folder = await tempFolder(t);
  const [open, shut, absent] = [join(folder, 'open'), join(folder, 'shut'), join(folder, 'absent')];
  await writeFile(open, 'marker-of-a-secret', { mode: 0o600 });
  await writeFile(shut, 'secret', { mode: 0o600 });
  await chmod(open, 0o640);
  const lines: string[] = [];
  const logger = {
    debug: () => {},
    info: () => {},
    warn: (about: object, text: string) => {
      lines.push(`${text} ${JSON.stringify(about)}`);
    },
  };
  const look = createSecretFileWatch('cluster', [open, shut, absent], logger);
  await look();
  await look();
  assert.deepEqual(lines, [
    `a file with a secret can be read by others; make it 0600 ${JSON.stringify({ keySet: 'cluster', file: open, mode: '0640' })}`,
  ]);
  await chmod(shut, 0o604);
  await look();
  assert.equal(lines.length, 2);
  assert.doesNotMatch(lines.join(), /marker-of-a-secret/);
});
