/**
 * Goal: a change that makes a stored value unreadable, or one that a server with the old file would write past, is an error; any other
 * change is not. Method: pairs of files with the errors they have.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { anyAtLeast, type Finding, type FindingId } from './finding.js';
import type { Inventory } from './inventory.js';
import { lintConfig, type LintOptions } from './lint.js';

const KEY_A = 'wqmuKCr2d5pwZe8J0hbOVnDJ2uTTdoQlxJrFMX2bY9U=';
const KEY_B = '3mZlB0wJYl0cS0qDg1sWn1xJm6JkMmAcn5QCMn3S8wE=';

const config = (...entries: readonly string[]): string =>
  `apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n${entries.join('')}`;
const entry = (resources: string, ...providers: readonly string[]): string =>
  `- resources: [${resources}]\n  providers:\n${providers.map((provider) => `  - ${provider}\n`).join('')}`;
const key = (kind: string, name: string, secret = KEY_A): string =>
  `${kind}: { keys: [{ name: ${name}, secret: ${secret} }] }`;
const kms = (name: string, version = 'v2', socket = 'kms'): string =>
  `kms: { apiVersion: ${version}, name: ${name}, endpoint: 'unix:///run/${socket}.sock' }`;
const IDENTITY = 'identity: {}';

const CHANGES: readonly FindingId[] = [
  'reader-removed',
  'key-secret-changed',
  'key-renamed',
  'kms-endpoint-changed',
  'kms-version-changed',
  'writer-not-read-yet',
  'writer-changed',
];
const compare = (
  before: string,
  after: string,
  options: Omit<LintOptions, 'previous'> = {},
): readonly Finding[] =>
  lintConfig(
    { file: 'new.yaml', text: after },
    { ...options, previous: { file: 'old.yaml', text: before } },
  ).filter(({ id }) => CHANGES.includes(id));
const told = (findings: readonly Finding[]): readonly string[] =>
  findings.map(({ severity, id }) => `${severity} ${id}`);

const a = key('aescbc', 'a');
const b = key('secretbox', 'b', KEY_B);
const cases: readonly (readonly [string, string, string, readonly string[]])[] = [
  ['nothing changes', entry('secrets', a), entry('secrets', a), []],
  ['a reader is added', entry('secrets', a), entry('secrets', a, b), []],
  ['readers change places', entry('secrets', a, b, IDENTITY), entry('secrets', a, IDENTITY, b), []],
  ['a reader is promoted', entry('secrets', a, b), entry('secrets', b, a), ['info writer-changed']],
  ['an old reader goes', entry('secrets', b, a), entry('secrets', b), ['warning reader-removed']],
  [
    'a new writer comes at once',
    entry('secrets', a),
    entry('secrets', b, a),
    ['error writer-not-read-yet', 'info writer-changed'],
  ],
  [
    'the writer is replaced',
    entry('secrets', a),
    entry('secrets', b),
    ['error reader-removed', 'error writer-not-read-yet', 'info writer-changed'],
  ],
  [
    'the first encryption begins',
    entry('configmaps', a),
    entry('configmaps, secrets', a, IDENTITY),
    ['error writer-not-read-yet', 'info writer-changed'],
  ],
  [
    'plaintext is no longer read',
    entry('secrets', IDENTITY, a),
    entry('secrets', a),
    ['error reader-removed', 'info writer-changed'],
  ],
  [
    'a resource is no longer covered',
    entry('configmaps, secrets', a),
    entry('configmaps', a),
    ['error reader-removed', 'error writer-not-read-yet', 'info writer-changed'],
  ],
  [
    'a wildcard takes over what was named',
    entry('secrets', a),
    entry("'*.'", a),
    ['error reader-removed', 'error writer-not-read-yet', 'info writer-changed'],
  ],
  [
    'the secret of a key changes',
    entry('secrets', a),
    entry('secrets', key('aescbc', 'a', KEY_B)),
    ['error key-secret-changed', 'error writer-not-read-yet'],
  ],
  [
    'a key is renamed',
    entry('secrets', a),
    entry('secrets', key('aescbc', 'c')),
    ['error key-renamed', 'error writer-not-read-yet', 'info writer-changed'],
  ],
  [
    'a KMS provider is renamed',
    entry('secrets', kms('one')),
    entry('secrets', kms('two')),
    ['error key-renamed', 'error writer-not-read-yet', 'info writer-changed'],
  ],
  [
    'a KMS provider changes its version under its name',
    entry('secrets', kms('one', 'v1')),
    entry('secrets', kms('one', 'v2', 'other')),
    ['error kms-version-changed', 'error writer-not-read-yet', 'info writer-changed'],
  ],
  [
    'the socket of a KMS provider moves',
    entry('secrets', kms('one')),
    entry('secrets', kms('one', 'v2', 'moved')),
    ['warning kms-endpoint-changed'],
  ],
];
test('another spelling of the same socket is the same', () => {
  const spelled = entry('secrets', "kms: { apiVersion: v2, name: one, endpoint: 'unix:/run/kms.sock' }");
  assert.deepEqual(told(compare(config(entry('secrets', kms('one'))), config(spelled))), []);
});

for (const [what, before, after, expected] of cases) {
  test(`${what}: ${expected.join(', ') || 'nothing'}`, () =>
    assert.deepEqual(told(compare(config(before), config(after))), expected));
}

test('with one API server nobody reads with the old file', () => {
  const findings = compare(config(entry('secrets', a)), config(entry('secrets', b, a)), {
    severalServers: false,
  });
  assert.deepEqual(told(findings), ['info writer-not-read-yet', 'info writer-changed']);
});

test('with the stored values known, a removed reader counts by what it has', () => {
  const remove = (inventory: Inventory): readonly Finding[] =>
    compare(config(entry('configmaps, secrets', b, a)), config(entry('configmaps, secrets', b)), {
      inventory,
    });
  const stored = (name: string, count: number): Inventory => [
    { resource: 'secrets', provider: 'aescbc', name, count },
  ];
  assert.deepEqual(told(remove(stored('other', 5))), ['info reader-removed']);
  const [finding] = remove(stored('a', 5));
  assert.deepEqual(
    [finding?.severity, finding?.values, finding?.where, finding?.resources],
    ['error', 5, 'previous:resources[0].providers[1].aescbc.keys[0]', ['configmaps', 'secrets']],
  );
});

test('what is stored is looked up where the wildcard covers it', () => {
  const inventory: Inventory = [{ resource: 'widgets.example.com', provider: 'aescbc', name: 'a', count: 2 }];
  const findings = compare(config(entry("'*.*'", b, a)), config(entry("'*.*'", b)), { inventory });
  assert.equal(anyAtLeast(findings, 'error'), true);
  assert.equal(findings[0]?.values, 2);
});
