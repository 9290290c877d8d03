#!/usr/bin/env node
/** `npm test`: installs what the tests need, then runs `npm run check` and the end-to-end tests. */
import { join } from 'node:path';
import { ensurePackages, must, root, testFiles } from './steps.mjs';

await ensurePackages();
await must('tools', process.execPath, [join(root, 'scripts/tools.mjs')]);
await must('check', process.execPath, [join(root, 'scripts/check.mjs')]);
await must('end-to-end tests', process.execPath, [
  '--test',
  '--test-concurrency=1',
  ...testFiles('test/dist'),
]);
