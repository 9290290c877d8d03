/**
 * Goal: every rule finds its fault, names its place, and leaves the good configuration alone; nothing of a key is told.
 * Method: one small file for each rule; stored values and permissions are given as data.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OpsError } from '../errors.js';
import type { FileStatus } from './file-checks.js';
import { anyAtLeast, type Finding, type FindingId } from './finding.js';
import { type LintOptions, lintConfig } from './lint.js';

const RANDOM_KEY = 'wqmuKCr2d5pwZe8J0hbOVnDJ2uTTdoQlxJrFMX2bY9U=';
const OTHER_KEY = '3mZlB0wJYl0cS0qDg1sWn1xJm6JkMmAcn5QCMn3S8wE=';

const config = (...entries: readonly string[]): string =>
  `apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n${entries.join('')}`;
const entry = (resources: string, ...providers: readonly string[]): string =>
  `- resources: [${resources}]\n  providers:\n${providers.map((provider) => `  - ${provider}\n`).join('')}`;
const keyed = (kind: string, secret = RANDOM_KEY, name = 'a'): string =>
  `${kind}: { keys: [{ name: ${name}, secret: ${secret} }] }`;
const kms = (more = '', name = 'cloud', version = 'v2'): string =>
  `kms: { apiVersion: ${version}, name: ${name}, endpoint: 'unix:///run/kms/kms.sock'${more} }`;
const IDENTITY = 'identity: {}';

const lint = (text: string, options: LintOptions = {}): readonly Finding[] =>
  lintConfig({ file: 'config.yaml', text }, options);
const ids = (findings: readonly Finding[]): readonly FindingId[] => findings.map(({ id }) => id);
const find = (findings: readonly Finding[], id: FindingId): Finding => {
  const found = findings.find((finding) => finding.id === id);
  assert.ok(found, `${id} is among ${ids(findings).join(', ')}`);
  return found;
};

test('of a KMS v2 provider for everything but events and leases only that is said', () => {
  const text = config(entry('events, leases.coordination.k8s.io', IDENTITY), entry("'*.*'", kms()));
  assert.deepEqual(
    lint(text).map(({ id, severity }) => [id, severity]),
    [['identity-first', 'info']],
  );
});

const cases: readonly (readonly [FindingId, string, string])[] = [
  ['aescbc-writes', config(entry('secrets', keyed('aescbc'))), 'resources[0].providers[0].aescbc.keys[0]'],
  [
    'aescbc-reads',
    config(entry('secrets', kms(), keyed('aescbc'))),
    'resources[0].providers[1].aescbc.keys[0]',
  ],
  ['gcm-not-rotated', config(entry('secrets', keyed('aesgcm'))), 'resources[0].providers[0].aesgcm.keys[0]'],
  [
    'secretbox-no-aad',
    config(entry('secrets', keyed('secretbox'))),
    'resources[0].providers[0].secretbox.keys[0]',
  ],
  [
    'static-beside-kms',
    config(entry('secrets', keyed('secretbox'), kms())),
    'resources[0].providers[0].secretbox.keys[0]',
  ],
  ['static-key', config(entry('secrets', keyed('aesgcm'))), 'resources[0].providers[0].aesgcm.keys[0]'],
  [
    'identity-first',
    config(entry('secrets', IDENTITY, keyed('aesgcm'))),
    'resources[0].providers[0].identity',
  ],
  ['identity-kept', config(entry('secrets', kms(), IDENTITY)), 'resources[0].providers[1].identity'],
  ['secrets-uncovered', config(entry('configmaps', kms())), 'resources'],
  ['wildcard-gap', config(entry('secrets', kms())), 'resources'],
  ['busy-resource-encrypted', config(entry("'*.*'", kms())), 'resources'],
  [
    'resource-repeated',
    config(entry('secrets', kms()), entry('secrets', keyed('aesgcm'))),
    'resources[1].resources[0]',
  ],
  ['kms-v1', config(entry('secrets', kms('', 'cloud', 'v1'))), 'resources[0].providers[0].kms.apiVersion'],
  [
    'kms-v1-before-v2',
    config(entry('secrets', kms('', 'old', 'v1'), kms())),
    'resources[0].providers[0].kms',
  ],
  [
    'kms-name-reused',
    config(entry('secrets', kms('', 'a', 'v1')), entry('configmaps', kms('', 'a', 'v1'))),
    'resources[1].providers[0].kms.name',
  ],
  [
    'kms-timeout-short',
    config(entry('secrets', kms(', timeout: 200ms'))),
    'resources[0].providers[0].kms.timeout',
  ],
  [
    'kms-timeout-long',
    config(entry('secrets', kms(', timeout: 1m'))),
    'resources[0].providers[0].kms.timeout',
  ],
  [
    'kms-cache-small',
    config(entry('secrets', kms(', cachesize: -1', 'a', 'v1'))),
    'resources[0].providers[0].kms.cachesize',
  ],
  [
    'key-shared',
    config(entry('secrets', keyed('aesgcm'), keyed('aesgcm', RANDOM_KEY, 'b'))),
    'resources[0].providers[1].aesgcm.keys[0]',
  ],
  [
    'key-name-repeated',
    config(entry('secrets', keyed('aesgcm'), keyed('aesgcm', OTHER_KEY))),
    'resources[0].providers[1].aesgcm.keys[0]',
  ],
  [
    'provider-repeated',
    config(entry('secrets', keyed('aesgcm'), keyed('aesgcm'))),
    'resources[0].providers[1].aesgcm.keys[0]',
  ],
  ['invalid', config(entry("secrets, '*.'", kms())), 'resources[0].resources'],
];
for (const [id, text, where] of cases) {
  test(`${id} is found at ${where}`, () => assert.equal(find(lint(text), id).where, where));
}

const weakKeys: readonly (readonly [FindingId, Buffer])[] = [
  ['key-well-known', Buffer.from('secret is secure')],
  ['key-low-entropy', Buffer.alloc(32)],
  ['key-low-entropy', Buffer.alloc(32, 7)],
  ['key-low-entropy', Buffer.from(Array.from({ length: 32 }, (_, i) => 200 - i))],
  ['key-low-entropy', Buffer.from('aaaabbbbccccddddaaaabbbbccccdddd')],
  ['key-is-text', Buffer.from('Correct-Horse_Battery9Staple!xyz')],
  ['key-short', Buffer.from('9f86d081884c7d659a2feaa0c55ad015', 'hex')],
];
for (const [id, bytes] of weakKeys) {
  test(`${id}: a key of ${bytes.length} bytes; nothing of it is told`, () => {
    const secret = bytes.toString('base64');
    const findings = lint(config(entry('secrets', keyed('aesgcm', secret))));
    assert.equal(find(findings, id).where, 'resources[0].providers[0].aesgcm.keys[0].secret');
    const told = JSON.stringify(findings);
    assert.ok(!told.includes(secret) && !told.includes(bytes.toString('latin1')));
  });
}

test('permissions of the file count when it holds keys', () => {
  const text = config(entry('secrets', keyed('secretbox')));
  const at = (mode: number, folderMode: number): readonly Finding[] =>
    lint(text, {
      lookAt: (path) => ({ mode: path === 'config.yaml' ? mode : folderMode, isSocket: false }),
    });
  assert.equal(find(at(0o644, 0o755), 'file-readable-by-others').severity, 'error');
  assert.equal(find(at(0o644, 0o700), 'file-readable-by-others').severity, 'info');
  assert.equal(find(at(0o640, 0o755), 'file-readable-by-others').severity, 'warning');
  assert.equal(find(at(0o602, 0o755), 'file-writable-by-others').severity, 'error');
  assert.equal(find(at(0o600, 0o777), 'file-writable-by-others').severity, 'error');
  for (const [mode, folderMode] of [
    [0o600, 0o755],
    [0o600, 0o1777],
  ] as const) {
    assert.ok(!ids(at(mode, folderMode)).some((id) => id.startsWith('file-')));
  }
});

test('sockets: missing, open to others, abstract, and well kept', () => {
  const text = config(entry('secrets', kms()));
  const at = (files: Readonly<Record<string, FileStatus>>): readonly FindingId[] =>
    ids(lint(text, { lookAt: (path) => files[path] })).filter((id) => id.startsWith('kms-'));
  const folder = (mode: number): FileStatus => ({ mode, isSocket: false });
  const socket = (mode: number): FileStatus => ({ mode, isSocket: true });
  assert.deepEqual(at({}), ['kms-socket-missing']);
  assert.deepEqual(at({ '/run/kms': folder(0o755), '/run/kms/kms.sock': folder(0o600) }), [
    'kms-socket-missing',
  ]);
  assert.deepEqual(at({ '/run/kms': folder(0o777), '/run/kms/kms.sock': socket(0o600) }), [
    'kms-socket-open',
  ]);
  assert.deepEqual(at({ '/run/kms': folder(0o755), '/run/kms/kms.sock': socket(0o666) }), [
    'kms-socket-open',
  ]);
  assert.deepEqual(at({ '/run/kms': folder(0o700), '/run/kms/kms.sock': socket(0o666) }), []);
  assert.deepEqual(at({ '/run/kms': folder(0o755), '/run/kms/kms.sock': socket(0o600) }), []);
  const abstract = config(entry('secrets', "kms: { apiVersion: v2, name: a, endpoint: 'unix:///@kms' }"));
  assert.ok(ids(lint(abstract, { lookAt: () => undefined })).includes('kms-socket-abstract'));
});

test('stored values without a reader are errors with their count', () => {
  const findings = lint(config(entry('secrets', keyed('aesgcm'))), {
    inventory: [
      { resource: 'secrets', provider: 'aesgcm', name: 'a', count: 250_000 },
      { resource: 'secrets', provider: 'identity', name: '', count: 3 },
      { resource: 'secrets', provider: 'aescbc', name: 'gone', count: 2 },
      { resource: 'configmaps', provider: 'aescbc', name: 'gone', count: 5 },
      { resource: 'pods', provider: 'identity', name: '', count: 9 },
    ],
  });
  assert.equal(find(findings, 'plaintext-unreadable').values, 3);
  const unreadable = find(findings, 'values-unreadable');
  assert.deepEqual([unreadable.values, unreadable.resources], [7, ['secrets', 'configmaps']]);
  assert.equal(find(findings, 'gcm-not-rotated').values, 250_000);
  assert.equal(anyAtLeast(findings, 'error'), true);
  assert.equal(findings[0]?.severity, 'error');
});

test('a previous file that cannot be used is an error of its own', () => {
  assert.throws(
    () => lint(config(entry('secrets', kms())), { previous: { file: 'old.yaml', text: 'kind: Other' } }),
    (error) =>
      error instanceof OpsError && error.code === 'config-invalid' && error.message.includes('old.yaml'),
  );
});
