/**
 * Goal: every command the README shows works and prints what the README says. Method: run the `console` blocks in order
 * in one shell, beside one `waxseal up`, and compare, with what differs from run to run (ports, ids, ages, dates) blanked.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { tool } from '../support/programs.js';
import { launcher, repository, temporaryFolder } from '../support/waxseal.js';

interface Step {
  readonly command: string;
  readonly output: string;
}

/** `$ command` lines of the console blocks, each with what stands below it. */
function stepsOf(markdown: string): readonly Step[] {
  const steps: Step[] = [];
  for (const [, block = ''] of markdown.matchAll(/^```console\n([\s\S]*?)^```$/gm)) {
    for (const part of block.split(/^\$ /m).slice(1)) {
      const end = part.indexOf('\n');
      steps.push({ command: part.slice(0, end), output: part.slice(end + 1).trim() });
    }
  }
  return steps;
}

/** Blanks what differs from run to run. */
const blank = (text: string): string =>
  text
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'UUID')
    .replaceAll(/127\.0\.0\.1:\d+/g, '127.0.0.1:PORT')
    .replaceAll(/\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}[\d.]*(Z|\+00:00)/g, 'TIME')
    .replaceAll(/\b\d+m?\d*s\b/g, 'AGE')
    .replaceAll(/\/\S*\/\.waxseal\b/g, 'DATA')
    .replaceAll(/[ \t]+/g, ' ')
    .trim();

function shell(folder: string, path: string, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const script = `set -o pipefail; [ -f .waxseal/env ] && . .waxseal/env; ${command}`;
    const child = spawn('bash', ['-c', script], {
      cwd: folder,
      env: {
        ...process.env,
        PATH: `${path}:${process.env['PATH']}`,
        AWS_PAGER: '',
        AWS_EC2_METADATA_DISABLED: 'true',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.once('error', reject);
    child.once('close', () => resolve(output.trim()));
  });
}

test('the README’s commands print what it says', async (t) => {
  const folder = await temporaryFolder(t);
  const bin = join(folder, 'bin');
  await mkdir(bin);
  await symlink(tool('kubectl-1.36'), join(bin, 'kubectl'));
  for (const name of ['aws', 'etcdctl', 'helm']) await symlink(tool(name), join(bin, name));
  const waxseal = `#!/bin/sh\nexec '${process.execPath}' '${launcher}' "$@"\n`;
  await writeFile(join(bin, 'waxseal'), waxseal, { mode: 0o755 });
  // From the clone `npx waxseal` finds the workspace's command; outside of it, this stands for it.
  await writeFile(join(bin, 'npx'), '#!/bin/sh\nexec "$@"\n', { mode: 0o755 });

  // `npm start` has installed and built what is tested here; the rest of it is this.
  const up = spawn(process.execPath, [launcher, 'up', '--api-port=0', '--kms-port=0', '--etcd-port=0'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(async () => {
    const exited = once(up, 'exit');
    up.kill('SIGTERM');
    await exited;
  });
  let greeting = '';
  for await (const chunk of up.stdout.iterator({ destroyOnReturn: false })) {
    greeting += String(chunk);
    if (greeting.includes('Ctrl-C')) break;
  }

  const steps = stepsOf(await readFile(join(repository, 'README.md'), 'utf8'));
  assert.ok(steps.length >= 5, 'the README shows commands');
  for (const { command, output } of steps) {
    if (command === 'npm test') continue; // runs this
    if (command === 'npm start') assert.equal(blank(greeting), blank(output), '$ npm start');
    else assert.equal(blank(await shell(folder, bin, command)), blank(output), `$ ${command}`);
  }
});
