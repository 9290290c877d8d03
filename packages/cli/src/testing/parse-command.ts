/** Parses a command line that some text shows, by the real program, without running it. */
import type { Command } from 'commander';
import { createProgram } from '../program.js';

/** What a shell would put in the place of the variables that a text tells its readers to set. */
export type Variables = Readonly<Record<string, string>>;

/**
 * @param line begins with `waxseal`
 * @returns what the program says is wrong with it; undefined: nothing
 */
export async function parseCommand(line: string, variables: Variables = {}): Promise<string | undefined> {
  const [name, ...words] = shellWords(line, variables);
  if (name !== 'waxseal') return `it is no command of waxseal: ${line}`;
  const program = createProgram();
  const said: string[] = [];
  const silence = (command: Command): void => {
    command.configureOutput({ writeOut: () => undefined, writeErr: (text) => said.push(text) });
    // A command that only holds others has no action of its own, and must not get one. Commander does not say in public whether it has.
    if (typeof Reflect.get(command, '_actionHandler') === 'function') command.action(() => undefined);
    for (const each of command.commands) silence(each);
  };
  silence(program);
  try {
    await program.parseAsync(words, { from: 'user' });
    return undefined;
  } catch (error) {
    return `${String(error)} ${said.join('')}`;
  }
}

/** Words with quotes and `$VARIABLE`s, as far as documentation uses them. */
function shellWords(line: string, variables: Variables): readonly string[] {
  const expand = (text: string): string =>
    text.replaceAll(/\$([A-Z_]+)/g, (whole, name: string) => variables[name] ?? whole);
  const words: string[] = [];
  let word: string | undefined;
  for (const [part] of line.matchAll(/'[^']*'|"[^"]*"|\s+|[^\s'"]+/g)) {
    if (/^\s/.test(part)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (part.startsWith("'")) word = (word ?? '') + part.slice(1, -1);
    else if (part.startsWith('"')) word = (word ?? '') + expand(part.slice(1, -1));
    else word = (word ?? '') + expand(part);
  }
  return word === undefined ? words : [...words, word];
}
