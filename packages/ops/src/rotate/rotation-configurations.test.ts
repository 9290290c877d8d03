// Goal: a rotation's configurations are valid, in the order that loses nothing, and what has no safe way is refused. Method: configurations as
// people write them.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { OpsError } from '../errors.js';
import { entriesOf, nameOfEntry } from './provider-entry.js';
import { renderConfiguration } from './render-configuration.js';
import { planConfigurations, type RotationConfigurations } from './rotation-configurations.js';
import { parseConfiguration, wantedConfiguration } from './wanted-change.js';

const HEAD = 'apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n';
const key = (byte: number): string => Buffer.alloc(32, byte).toString('base64');
const rule = (resources: string, ...providers: readonly string[]): string =>
  `- resources: ${resources}\n  providers: [${providers.join(', ')}]\n`;
const cbc = (name: string, byte = 1): string => `{aescbc: {keys: [{name: ${name}, secret: "${key(byte)}"}]}}`;
const kms = (name: string, version = 'v2'): string =>
  `{kms: {apiVersion: ${version}, name: ${name}, endpoint: "unix:///run/${name}.sock", timeout: 5s}}`;
const identity = '{identity: {}}';

const parse = (...rules: readonly string[]) => parseConfiguration(HEAD + rules.join(''), 'test.yaml');
type Config = ReturnType<typeof parse>;
const plan = (current: Config, wanted: Config): RotationConfigurations =>
  planConfigurations(current, wanted, { text: renderConfiguration(wanted), config: wanted });
const orders = (text: string): readonly string[] =>
  parseConfiguration(text, 'planned').resources.map(
    ({ resources, providers }) =>
      `${resources.join('+')}: ${entriesOf(providers).map(nameOfEntry).join(' ')}`,
  );

test('kms v1 to v2: readers first, then the writer, then one old reader', () => {
  const current = parse(rule('[secrets]', kms('old', 'v1'), cbc('ancient'), identity));
  const change = { kind: 'to-kms', name: 'new', endpoint: 'unix:///run/new.sock', timeoutMs: 3000 } as const;
  const plans = plan(current, wantedConfiguration(current, change, randomBytes));
  assert.deepEqual(orders(plans.readers), ['secrets: kms-v1:old kms-v2:new identity aescbc:ancient']);
  assert.deepEqual(orders(plans.promoted), ['secrets: kms-v2:new kms-v1:old aescbc:ancient identity']);
  assert.deepEqual(orders(plans.kept), ['secrets: kms-v2:new kms-v1:old identity']);
  assert.deepEqual(orders(plans.wanted), ['secrets: kms-v2:new identity']);
});

test('each rule gets a KMS name of its own', () => {
  const current = parse(rule('[secrets]', cbc('a')), rule('[configmaps]', identity));
  const change = { kind: 'to-kms', name: 'new', endpoint: 'unix:///run/new.sock', timeoutMs: 3000 } as const;
  const { wanted } = plan(current, wantedConfiguration(current, change, randomBytes));
  assert.deepEqual(orders(wanted), ['secrets: kms-v2:new', 'configmaps: kms-v2:new-2']);
});

test('a target may cover more than before', () => {
  const plans = plan(
    parse(rule('[secrets]', cbc('a'))),
    parse(rule('[secrets]', cbc('b', 2)), rule('["*."]', cbc('b', 2), identity)),
  );
  assert.deepEqual(orders(plans.readers), ['secrets: aescbc:a aescbc:b', '*.: identity aescbc:b']);
  assert.deepEqual(orders(plans.promoted), ['secrets: aescbc:b aescbc:a', '*.: aescbc:b identity']);
});

test('what has no safe way is refused', () => {
  const secrets = rule('[secrets]', cbc('a'));
  const refused: readonly (readonly [string, string, RegExp])[] = [
    [secrets, rule('[configmaps]', cbc('a')), /no rule for secrets/],
    [secrets, rule('["*."]', cbc('b', 2)), /secrets under a rule with resources that are sealed otherwise/],
    [secrets, rule('[secrets, configmaps]', cbc('b', 2)), /several rules now/],
    [secrets, rule('[secrets]', cbc('a', 2)), /aescbc:a is not the same/],
    [rule('[secrets]', kms('x', 'v1')), rule('[secrets]', kms('x')), /duplicate KMS provider name/],
  ];
  for (const [current, wanted, message] of refused) {
    assert.throws(
      () => plan(parse(current), parse(wanted)),
      (error: unknown) => {
        assert.ok(error instanceof OpsError);
        assert.match(error.message, message);
        assert.ok(!error.message.includes(key(1)) && !error.message.includes(key(2)));
        return true;
      },
    );
  }
});

test('what is rendered reads back the same, whatever the names', () => {
  for (const name of ['yes', '1e3', 'null', '0x1f', '~', 'a: b', '"', 'ключ', '2024-01-01', 'on']) {
    const config = parse(
      rule('[secrets, deployments.apps]', kms('one'), kms('two', 'v1'), identity),
      rule('[configmaps]', cbc(JSON.stringify(name)), cbc(JSON.stringify(`${name}2`), 2)),
    );
    const again = parseConfiguration(renderConfiguration(config), 'rendered');
    assert.deepEqual(again, config, name);
  }
});
