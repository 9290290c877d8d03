/**
 * Goal: every command line that a help text, the README or a page of docs/ shows is one that the program takes. Method: the examples of every
 * command's help, and what begins with `waxseal` in blocks of code, parsed by the real program without running it.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { createProgram } from './program.js';
import { parseCommand } from './testing/parse-command.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** The commands of waxseal in lines of shell: without prompt, pipes, redirections and what a line ends with. */
function commandsIn(shell: string): readonly string[] {
  const lines = shell.replaceAll(/(\\|\|)\n\s*/g, (_, end: string) => (end === '|' ? '| ' : ' ')).split('\n');
  // Where commands have a prompt, the other lines are what they print.
  const typed = lines.filter((line) => /^\s*\$ /.test(line));
  return (typed.length > 0 ? typed : lines).flatMap((line) =>
    line
      .replace(/\s#\s.*$/, '')
      .split(/\||&&|;|\$\(/)
      .map((part) =>
        part
          .trim()
          .replace(/^\$ /, '')
          .replace(/^(sudo|npx) /, ''),
      )
      .filter((part) => /^waxseal \S/.test(part))
      .map((part) =>
        part
          .replace(/\s[12]?>&?\s*\S+.*$/, '')
          .replace(/\s<.*$/, '')
          .replace(/[&)]+$/, '')
          .trim(),
      ),
  );
}

async function refused(commands: readonly string[]): Promise<readonly string[]> {
  const answers = await Promise.all(
    commands.map(async (command) => ({ command, problem: await parseCommand(command) })),
  );
  return answers.flatMap(({ command, problem }) => (problem === undefined ? [] : [`${command}: ${problem}`]));
}

const everyCommand = (command: Command): readonly Command[] => [
  command,
  ...command.commands.flatMap(everyCommand),
];

function helpOf(command: Command): string {
  const said: string[] = [];
  command.configureOutput({ writeOut: (text) => said.push(text) });
  command.outputHelp();
  return said.join('');
}

test('the examples of every help text', async () => {
  const examples = everyCommand(createProgram()).flatMap((command) => {
    const shown = helpOf(command).split(/^Examples?:$/m)[1] ?? '';
    return commandsIn(shown);
  });
  assert.ok(examples.length > 40);
  assert.deepEqual(await refused(examples), []);
});

const pages = [
  'README.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];
for (const page of pages) {
  test(`the blocks of code of ${page}`, async () => {
    const text = readFileSync(join(root, page), 'utf8');
    const blocks = [...text.matchAll(/^ *```(\w*)\n(.*?)^ *```/gms)].flatMap(([, language = '', code = '']) =>
      // What stands in a block of no language may be output.
      ['sh', 'shell', 'bash', 'console'].includes(language) || /^\s*\$ /m.test(code) ? code : [],
    );
    assert.deepEqual(await refused(blocks.flatMap(commandsIn)), []);
  });
}
