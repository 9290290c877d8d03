/** Goal: a policy says yes only when every rule is kept, and a policy file that cannot be used says where. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProviderKind } from '../stored-value.js';
import { checkPolicy, parsePolicy, requireSealed } from './policy.js';
import type { ScanGroup, ScanResult } from './scan.js';

function resultOf(...groups: readonly (readonly [string, ProviderKind, string])[]): ScanResult {
  return {
    source: 'test',
    revision: 1,
    plaintext: 0,
    total: groups.length,
    bytes: 0,
    groups: groups.map(([resource, provider, key]): ScanGroup => ({
      resource,
      provider,
      key,
      count: 2,
      bytes: 0,
      oldestRevision: 1,
      newestRevision: 1,
      dekSources: [],
      moreDekSources: 0,
      broken: 0,
    })),
  };
}

const scanned = resultOf(
  ['secrets', 'kms-v2', 'key-1'],
  ['secrets', 'identity', ''],
  ['configmaps', 'aescbc', 'old'],
  ['deployments.apps', 'identity', ''],
  ['issuers.example.com', 'unknown', ''],
);

test('a wildcard does not ask for what no API server seals', () => {
  const records = resultOf(['ranges', 'identity', ''], ['masterleases', 'aescbc', 'old']);
  const broken = (pattern: string): readonly string[] =>
    checkPolicy(records, [{ resources: [pattern], providers: ['kms-v2'] }]).map(({ resource }) => resource);
  assert.deepEqual(broken('*.*'), ['masterleases']);
  assert.deepEqual(broken('*.'), ['masterleases']);
  assert.deepEqual(broken('ranges'), ['ranges']);
});

test('resources that must be sealed', () => {
  const broken = (resources: readonly string[]): readonly string[] =>
    checkPolicy(scanned, [requireSealed(resources)]).map(({ resource }) => resource);
  assert.deepEqual(broken(['configmaps']), []);
  assert.deepEqual(broken(['secrets', 'configmaps']), ['secrets']);
  assert.deepEqual(broken(['deployments']), ['deployments.apps']);
  assert.deepEqual(broken(['deployments.']), []);
  assert.deepEqual(broken(['deployments.apps']), ['deployments.apps']);
  assert.deepEqual(broken(['*.example.com']), ['issuers.example.com']);
  assert.deepEqual(broken(['*.']), ['secrets']);
  assert.deepEqual(broken(['*.*']), ['secrets', 'deployments.apps', 'issuers.example.com']);
  assert.deepEqual(broken(['leases.coordination.k8s.io']), []);
});

test('a policy file names providers and keys', () => {
  const rules = parsePolicy(
    `
rules:
  - resources: [secrets]
    providers: [kms-v2]
    keys: [key-2]
  - resources: [configmaps]
    providers: [identity, aescbc]
`,
    'policy.yaml',
  );
  assert.deepEqual(
    checkPolicy(scanned, rules).map(({ message }) => message),
    [
      '2 values of secrets are under kms-v2 key key-1; allowed is: kms-v2 under key-2',
      '2 values of secrets are not encrypted; allowed is: kms-v2 under key-2',
    ],
  );
});

test('a policy file that cannot be used says where', () => {
  for (const [text, message] of [
    ['', /policy\.yaml should be a mapping with rules/],
    ['rules: []', /rules is empty/],
    ['rules: {}', /rules should be a list/],
    ['rules:\n- resources: []', /rules\[0\]\.resources is empty/],
    ['rules:\n- resources: [Secrets]', /"Secrets" is no resource/],
    ['rules:\n- resources: [secrets]\n  providers: [rot13]', /"rot13" is none of/],
    ['rules:\n- resources: [secrets]\n  provider: [kms-v2]', /"provider" is none of/],
    ['rules:\n- resources: [1]', /list of words/],
    ['a: [', /invalid YAML at line 1/],
    ['- '.repeat(5000), /more than 200 levels/],
    ['rules: []\nrules: []', /twice/],
    ['a: &a [x]\nrules: [*a, *a]', /uses aliases|none of rules/],
  ] as const) {
    assert.throws(() => parsePolicy(text, 'policy.yaml'), { code: 'config-invalid', message }, text);
  }
  assert.throws(() => requireSealed(['']), { code: 'invalid-option' });
});
