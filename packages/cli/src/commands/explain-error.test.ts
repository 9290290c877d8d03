/**
 * Goal: every command that an explanation suggests is one that the program takes, and whatever is pasted has an answer that a terminal only
 * prints. Method: the table's commands parsed by the real program; the real command with long, binary and empty input.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorPatterns } from '@waxseal/ops';
import { waxseal } from '../testing/command.js';
import { parseCommand } from '../testing/parse-command.js';

test('every suggested command is a command line of waxseal', async () => {
  const commands = [...new Set(errorPatterns.flatMap((pattern) => pattern.commands))];
  assert.ok(commands.length > 10);
  const problems = await Promise.all(
    commands.map(async (command) => [
      command,
      await parseCommand(command.replace(/\bURL\b/, 'https://a:2379')),
    ]),
  );
  assert.deepEqual(
    problems.filter(([, problem]) => problem !== undefined),
    [],
  );
});

test('the exit code says whether the message is known', () => {
  const known = waxseal(['explain-error', 'Internal', 'error', 'occurred:', 'no matching prefix found']);
  assert.equal(known.status, 0, known.stderr);
  assert.match(known.stdout, /\[no-matching-prefix\]/);
  assert.equal(waxseal(['explain-error', 'something else']).status, 1);
  for (const input of ['', ' \n\n'])
    assert.equal(waxseal(['explain-error'], { input: Buffer.from(input) }).status, 2);
});

test('a log of any length, with anything in it, on standard input', () => {
  const noise = Buffer.alloc(10 * 1024 * 1024, 0);
  for (let i = 0; i < noise.length; i++) noise[i] = (i * 2_654_435_761) >>> 24;
  const input = Buffer.concat([
    noise,
    Buffer.from(
      '\nunable to transform key "/registry/secrets/a/\u001b]0;x\u0007": no matching prefix found\n',
    ),
  ]);
  const { status, stdout, stderr } = waxseal(['explain-error', '-'], { input });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /no-matching-prefix/);
  assert.doesNotMatch(stdout, /[^\P{Cc}\n]/u);
});
