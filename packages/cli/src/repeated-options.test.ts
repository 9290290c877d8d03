/**
 * Goal: a list that is given in pieces (`--servers A --servers B`) is the whole list: an API server that is not asked, or a resource that is
 * not looked at, would be taken for a good one. Method: the parser of every such option of every command, called as commander calls it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command } from 'commander';
import { createProgram } from './program.js';

const LISTS: Readonly<Record<string, readonly [string, string]>> = {
  '--etcd': ['https://a:2379', 'https://b:2379'],
  '--require': ['secrets', 'configmaps'],
  '--resources': ['secrets', 'configmaps'],
  '--servers': ['https://a:6443', 'https://b:6443'],
};

const everyCommand = (command: Command): readonly Command[] => [
  command,
  ...command.commands.flatMap(everyCommand),
];

test('what is given twice is a list of two', () => {
  const seen: string[] = [];
  for (const command of everyCommand(createProgram())) {
    for (const { long = '', parseArg, defaultValue } of command.options) {
      const pieces = LISTS[long];
      if (pieces === undefined || parseArg === undefined) continue;
      const [first, second] = pieces;
      const name = `${command.name()} ${long}`;
      const repeated = parseArg(second, parseArg(first, defaultValue));
      assert.deepEqual(repeated, parseArg(`${first},${second}`, undefined), name);
      assert.deepEqual(
        parseArg(first, defaultValue),
        parseArg(first, undefined),
        `${name} in place of its default`,
      );
      seen.push(name);
    }
  }
  for (const each of [
    'run --servers',
    'finish --servers',
    'scan --require',
    'rewrap --resources',
    'retire --etcd',
  ])
    assert.ok(seen.includes(each), each);
});
