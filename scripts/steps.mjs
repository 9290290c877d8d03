/** What `npm start`, `npm test` and `npm run check` share: running a step, and bringing the clone to a built state. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Runs a program in the repository's root. Resolves with its exit code; its output goes where ours goes. */
export function run(command, args, { quiet = false, env = process.env } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: quiet ? ['ignore', 'ignore', 'inherit'] : ['ignore', 'inherit', 'inherit'],
      env,
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? (signal ? 1 : 0)));
  });
}

/** Runs a step and ends the process with its exit code when it fails. */
export async function must(title, command, args, options) {
  const code = await run(command, args, options).catch((error) => {
    console.error(`${title}: ${error.message}`);
    return 127;
  });
  if (code !== 0) {
    console.error(
      `${title}: failed (exit code ${code}). To see it alone: ${[command, ...args].join(' ').slice(0, 200)}`,
    );
    process.exit(code);
  }
}

/** Installs packages when `node_modules` is older than the lock file. */
export async function ensurePackages({ quiet = false } = {}) {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    console.error(`Waxseal needs Node 20.19 or newer; this is ${process.versions.node}.`);
    process.exit(1);
  }
  const marker = join(root, 'node_modules/.package-lock.json');
  const current =
    existsSync(marker) && statSync(marker).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs;
  if (current) return;
  if (quiet) console.error('Installing packages, which happens once…');
  await must('npm ci', 'npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { quiet });
}

export async function build() {
  await must('build', process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-b']);
}

/** Every compiled test below a folder, sorted; an explicit list means the same on every version of Node. */
export function testFiles(folder) {
  return readdirSync(join(root, folder), { recursive: true })
    .filter((path) => path.endsWith('.test.js') || path.endsWith('.test.mjs'))
    .filter((path) => !path.includes('node_modules'))
    .map((path) => join(folder, path))
    .toSorted();
}

/** Tests start servers and clients of their own: more than the cores at once would only make time-outs. */
export const testConcurrency = '--test-concurrency=2';
