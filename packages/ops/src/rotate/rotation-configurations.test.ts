// Goal: a rotation's configurations are valid, in the order that loses nothing, and what has no safe way is refused. Method: configurations as
// people write them.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { parse as parseYaml } from 'yaml';
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

test('each rule gets a KMS name of its own; one of identity alone beside others stays', () => {
  const change = { kind: 'to-kms', name: 'new', endpoint: 'unix:///run/new.sock', timeoutMs: 3000 } as const;
  const ends = (...rules: readonly string[]): readonly string[] => {
    const current = parse(...rules);
    return orders(plan(current, wantedConfiguration(current, change, randomBytes)).wanted);
  };
  assert.deepEqual(ends(rule('[secrets]', cbc('a')), rule('[configmaps]', cbc('a'), identity)), [
    'secrets: kms-v2:new',
    'configmaps: kms-v2:new-2 identity',
  ]);
  assert.deepEqual(ends(rule('[events]', identity), rule('["*.*"]', cbc('a'))), [
    'events: identity',
    '*.*: kms-v2:new',
  ]);
  assert.deepEqual(ends(rule('[secrets]', identity), rule('[configmaps]', identity)), [
    'secrets: kms-v2:new',
    'configmaps: kms-v2:new-2',
  ]);
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

/** A new key alone. */
function withSecrets(config: Config): Config {
  const secretbox = { keys: [{ name: 's', secret: key(9) }] };
  return { resources: config.resources.map(({ resources }) => ({ resources, providers: [{ secretbox }] })) };
}

const COMMENTED = `# who to ask: the platform team
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets] # nothing else
    providers:
      # the present key
      - aescbc:
          keys:
            # of 2024
            - name: a
              secret: ${key(1)}
            # of 2019
            - name: b
              secret: ${key(2)}
      # for what was never sealed
      - identity: {}
`;

test('comments stay beside what they are about, through every configuration', () => {
  const config = parseConfiguration(COMMENTED, 'enc.yaml');
  const change = { kind: 'add-key', provider: 'aescbc', name: 'c' } as const;
  const wanted = wantedConfiguration(config, change, randomBytes);
  const plans = planConfigurations(config, wanted, { text: COMMENTED, config });
  assert.equal(plans.commentsKept, true);
  const comments = (text: string): readonly string[] =>
    [...text.matchAll(/# (.*)/g)].map(([, words = '']) => words);
  const about = ['who to ask: the platform team', 'nothing else'];
  assert.deepEqual(orders(plans.readers), ['secrets: aescbc:a aescbc:b aescbc:c identity']);
  assert.deepEqual(comments(plans.readers), [
    ...about,
    'the present key',
    'of 2024',
    'of 2019',
    'for what was never sealed',
  ]);
  assert.deepEqual(orders(plans.promoted), ['secrets: aescbc:c aescbc:a aescbc:b identity']);
  assert.deepEqual(comments(plans.promoted), comments(plans.readers));
  assert.deepEqual(orders(plans.kept), ['secrets: aescbc:c aescbc:a identity']);
  assert.deepEqual(comments(plans.kept), [
    ...about,
    'the present key',
    'of 2024',
    'for what was never sealed',
  ]);
  assert.deepEqual(comments(plans.wanted), [...about, 'for what was never sealed']);
});

test('a target ends as it is written, to the byte', () => {
  const current = parse(rule('[secrets]', cbc('old', 3)));
  const target = { kind: 'target', text: COMMENTED, fileName: 'target.yaml' } as const;
  const wanted = wantedConfiguration(current, target, randomBytes);
  const plans = planConfigurations(current, wanted, { text: COMMENTED, config: wanted });
  assert.equal(plans.wanted, COMMENTED);
  assert.match(plans.readers, /# of 2019/);
  assert.deepEqual(orders(plans.readers), ['secrets: aescbc:old aescbc:a aescbc:b identity']);
});

test('what cannot be edited is written anew, and says so', () => {
  const json = JSON.stringify(parseYaml(COMMENTED), undefined, 2);
  const aliased = `${COMMENTED.replace('providers:', 'providers: &all')}  - resources: [configmaps]\n    providers: *all\n`;
  for (const text of [json, aliased]) {
    const config = parseConfiguration(text, 'enc.yaml');
    const target = withSecrets(config);
    const plans = planConfigurations(config, target, { text, config });
    assert.equal(plans.commentsKept, false);
    assert.equal(orders(plans.kept)[0], 'secrets: secretbox:s aescbc:a');
  }
});
