#!/usr/bin/env node
/** `npm start`: installs, builds and runs `waxseal up`. Arguments go on: `npm start -- --data-dir DIR`. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { build, ensurePackages, root } from './steps.mjs';

await ensurePackages({ quiet: true });
await build();
const child = spawn(
  process.execPath,
  [join(root, 'packages/cli/bin/waxseal.js'), 'up', ...process.argv.slice(2)],
  {
    stdio: 'inherit',
  },
);
// A terminal sends Ctrl-C to the whole group, a supervisor's SIGTERM reaches only us: both must end the server cleanly.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.once('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
