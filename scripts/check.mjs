#!/usr/bin/env node
/** `npm run check`: types, lint, format, dead code, layers and style, unit tests. What a commit must pass. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { build, ensurePackages, must, root, testConcurrency, testFiles } from './steps.mjs';

const module = (path) => join(root, 'node_modules', path);

await ensurePackages();
await build();
await must('lint', process.execPath, [module('oxlint/bin/oxlint'), '--type-aware', '--deny-warnings']);
await must('format', process.execPath, [
  module('prettier/bin/prettier.cjs'),
  '--check',
  '--log-level=warn',
  '.',
]);
await must('dead code', process.execPath, [module('knip/bin/knip.js')]);
const units = readdirSync(join(root, 'packages')).flatMap((name) => testFiles(`packages/${name}/dist`));
await must('unit tests', process.execPath, ['--test', testConcurrency, ...testFiles('scripts'), ...units]);
