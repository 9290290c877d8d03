/** Goal: every example of the reference is accepted, every provider has one, and mistakes are told by their path. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { KmsPluginError } from '../errors.js';
import { nearest } from './nearest.js';
import { parsePluginConfig } from './plugin-config.js';

const reference = await readFile(
  new URL('../../../../docs/operating/kms-plugin-config.md', import.meta.url),
  'utf8',
);
const examples = [...reference.matchAll(/```yaml\n(.*?)```/gs)].map(([, yaml]) => yaml ?? '');

test('every example of the reference is accepted, and every provider has one', () => {
  const seen = new Set<string>();
  for (const example of examples) {
    for (const { providerText } of parsePluginConfig(example, '/etc/waxseal').keySets) {
      for (const [, name] of providerText.matchAll(/[[{"](aws|waxseal|azure|gcp|vault|pkcs11|local)":\{/g)) {
        seen.add(name ?? '');
      }
    }
  }
  assert.deepEqual([...seen].toSorted(), ['aws', 'azure', 'gcp', 'local', 'pkcs11', 'vault', 'waxseal']);
});

const oneKey = (provider: string, more = ''): string =>
  `keys: [{name: k, listen: /s, provider: ${provider}${more}}]`;
const local = '{local: {keyringFile: k}}';

for (const [text, reason] of [
  ['', /the file: expected a mapping/],
  ['[]', /the file: expected a mapping/],
  ['{', /not YAML/],
  ['keys: []', /at least one key set/],
  ['a: &a [x]\nkeys: [*a, *b]', /not YAML: an alias has no anchor before it\./],
  [`a: &a [x]\nb: &b [${Array(200).fill('*a').join()}]\nkeys: [*b]`, /not YAML: too many aliases\./],
  [`keys: ${'['.repeat(5000)}`, /not YAML: more than 100 levels\./],
  [`${'? '.repeat(5000)}x`, /not YAML: more than 100 levels\./],
  [oneKey('{awz: {}}'), /keys\[0\]\.provider\.awz: unknown; .* did you mean aws\?/],
  [oneKey('{aws: {}, gcp: {}}'), /provider: expected exactly one of/],
  [
    oneKey('{aws: {key_id: x}}'),
    /aws\.keyId: is missing\.\n.*aws\.key_id: unknown field; did you mean keyId\?/,
  ],
  [oneKey('{aws: {keyId: 5}}'), /aws\.keyId: expected text/],
  [
    oneKey('{vault: {address: https://v, keyName: k, auth: {kind: token, token: abc}}}'),
    /secrets do not belong/,
  ],
  [oneKey(local, ', statusVersion: v3'), /statusVersion: expected one of v2, v2beta1/],
  [oneKey(local, ', operationTimeoutMs: 1.5'), /whole number from 100 to 60000/],
  [oneKey(local, ', versions: [v1, v4]'), /versions: expected v1, v2 or both/],
  [oneKey(local, ', socketGroup: no-such-group-here'), /There is no group/],
  [oneKey(local, ', limits: {qps: 5}'), /limits\.qps: unknown field/],
  [`health: {port: 70000}\n${oneKey(local)}`, /health\.port/],
  [oneKey(local).replace('name: k', 'name: K_1'), /lower-case letters/],
  [oneKey(local).replace('listen: /s', 'listen: []'), /listen: expected at least one/],
  [
    `keys: [{name: k, listen: /s, provider: ${local}}, {name: k, listen: /t, provider: ${local}}]`,
    /keys\[1\]\.name: another key set has the name k/,
  ],
] as const) {
  test(`refused: ${text.slice(0, 100)}`, () => {
    assert.throws(
      () => parsePluginConfig(text, '/'),
      (error) =>
        error instanceof KmsPluginError && error.code === 'config_invalid' && reason.test(error.message),
    );
  });
}

test('any text gives a configuration or an error of this package', () => {
  const attempt = (text: string): void => {
    try {
      parsePluginConfig(text, '/');
    } catch (error) {
      assert.ok(error instanceof KmsPluginError, String(error));
    }
  };
  const [example = ''] = examples;
  for (let length = 0; length < example.length; length++) attempt(example.slice(0, length));
  fc.assert(fc.property(fc.string({ maxLength: 200 }), attempt));
  fc.assert(fc.property(fc.json(), (value) => attempt(`keys: ${value}`)));
});

test('the nearest name is suggested when it is near enough', () => {
  assert.equal(nearest('key-id', ['keyId', 'region']), 'keyId');
  assert.equal(nearest('regoin', ['keyId', 'region']), 'region');
  assert.equal(nearest('colour', ['keyId', 'region']), undefined);
});
