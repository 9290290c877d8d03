/**
 * Goal: lint judges as the reference does what is invalid, and has an answer for every text. Method: the reference's verdicts; then every
 * prefix of a file, and seeded changes to it.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { OpsError } from '../errors.js';
import type { Finding } from './finding.js';
import { lintConfig } from './lint.js';

const read = (name: string): string =>
  readFileSync(new URL(`../../../../test/vectors/config/${name}`, import.meta.url), 'utf8');
const verdicts = JSON.parse(read('verdicts.json')) as readonly {
  readonly file: string;
  readonly error?: string;
}[];

const lint = (text: string): readonly Finding[] => lintConfig({ file: 'config.yaml', text });
const isInvalid = (findings: readonly Finding[]): boolean => findings.some(({ id }) => id === 'invalid');

test('there are verdicts to agree with', () => assert.ok(verdicts.length > 30));
/** What stands behind the value that is refused: the value itself may be key material. */
const reasonOf = (text: string): string =>
  text.replace(/^(Invalid value|Required value): ?("(?:[^"\\]|\\.)*": |\{.*\}: |\[[^\]]*\]: )?/, '');
const DECODING = 'error decoding encryption provider configuration file';

for (const { file, error } of verdicts) {
  test(`${file}: ${error === undefined ? 'taken' : 'refused'}, as the reference does, for its reason`, () => {
    const findings = lint(read(file));
    assert.equal(isInvalid(findings), error !== undefined);
    const refused = findings.filter(({ id }) => id === 'invalid');
    for (const { severity, where, why } of refused) {
      const said = (error ?? '').replace(/^error while (parsing file|building transformers): /, '');
      // Decoders have words of their own.
      const reason = said.startsWith(DECODING) ? DECODING : reasonOf(why);
      assert.equal(severity, 'error');
      assert.ok(reason.length > 10, reason);
      assert.ok(why.includes(reason) && said.includes(reason), `${why} / ${said}`);
      assert.ok(said.includes(where), `${where} / ${said}`);
    }
    assert.ok(
      error === undefined || refused.length === findings.length,
      'of an invalid file only what is invalid',
    );
  });
}

const BASE = read('ok-multi-keys.yaml');
function lintBoth(text: string): void {
  const findings = lint(text);
  assert.ok(findings.every(({ why, fix, source }) => why !== '' && fix !== '' && source !== ''));
  // As the file before, one that is refused is an error of its own.
  let refused = false;
  try {
    lintConfig({ file: 'new.yaml', text: BASE }, { previous: { file: 'old.yaml', text } });
  } catch (error) {
    refused = error instanceof OpsError && error.code === 'config-invalid';
    assert.ok(refused, String(error));
  }
  assert.equal(refused, isInvalid(findings));
}

test('every prefix of a file has an answer', () => {
  for (let end = 0; end <= BASE.length; end++) lintBoth(BASE.slice(0, end));
});

test('every changed file has an answer', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(BASE.length - 1), fc.constantFrom(...'[]{}:-,&*#"\' \nax0\0'.split(''))), {
        minLength: 1,
        maxLength: 4,
      }),
      (changes) => {
        const characters = BASE.split('');
        for (const [at, character] of changes) characters[at] = character;
        lintBoth(characters.join(''));
      },
    ),
    { numRuns: 300 },
  );
});
