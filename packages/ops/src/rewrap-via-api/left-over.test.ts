/** Goal: what the server would write otherwise today is told from the scan alone, and with a configuration also when nothing of it was written yet. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEncryptionConfig } from '@waxseal/encryption-config';
import type { ScanGroup, ScanResult } from '../scan/scan.js';
import { leftOver } from './left-over.js';

const group = (
  resource: string,
  provider: ScanGroup['provider'],
  key: string,
  count: number,
  newestRevision: number,
  kmsName?: string,
): ScanGroup => ({
  resource,
  provider,
  key,
  count,
  newestRevision,
  oldestRevision: 1,
  bytes: 1,
  dekSources: [],
  moreDekSources: 0,
  broken: 0,
  ...(kmsName === undefined ? {} : { kmsName }),
});

const scanned = (...groups: readonly ScanGroup[]): ScanResult => ({
  source: 's',
  revision: 9,
  plaintext: 0,
  total: 0,
  bytes: 0,
  groups,
});

const secretboxFirst = readEncryptionConfig(
  JSON.stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [
      {
        resources: ['*.*'],
        providers: [
          { secretbox: { keys: [{ name: 'box', secret: Buffer.alloc(32, 7).toString('base64') }] } },
          { kms: { apiVersion: 'v2', name: 'cloud', endpoint: 'unix:///k.sock' } },
          { identity: {} },
        ],
      },
    ],
  }),
  { fileName: 'c', kmsV1Enabled: true },
).config;

const lefts = (...args: Parameters<typeof leftOver>): readonly string[] =>
  leftOver(...args)
    .filter(({ left }) => left)
    .map(({ resource, provider, key, count }) => `${resource} ${provider} ${key} ${count}`);

test('without a configuration the newest value of each resource says how it is written', () => {
  const result = scanned(
    group('secrets', 'secretbox', 'box', 5, 9),
    group('secrets', 'aescbc', 'old', 2, 8),
    group('configmaps', 'identity', '', 4, 5),
    group('widgets.example.com', 'kms-v2', 'key-1', 1, 3, 'cloud'),
    group('widgets.example.com', 'kms-v2', 'key-2', 1, 7, 'cloud'),
    group('(other)', 'identity', '', 1, 9),
  );
  assert.deepEqual(lefts(result, ['secrets', '*.example.com'], undefined), [
    'secrets aescbc old 2',
    'widgets.example.com kms-v2 key-1 1',
  ]);
  assert.equal(leftOver(result, ['secrets'], undefined).length, 2);
});

test('with one, values that its first provider did not write are left, however new', () => {
  const result = scanned(
    group('secrets', 'kms-v2', 'key-1', 3, 9, 'cloud'),
    group('secrets', 'secretbox', 'box', 2, 4),
  );
  assert.deepEqual(lefts(result, ['secrets'], secretboxFirst), ['secrets kms-v2 key-1 3']);
  assert.deepEqual(lefts(scanned(group('pods', 'identity', '', 3, 9)), ['*.'], secretboxFirst), [
    'pods identity  3',
  ]);
});

test('wildcards leave out what no API server seals', () => {
  const result = scanned(
    group('ranges', 'identity', '', 2, 9),
    group('masterleases', 'identity', '', 1, 9),
    group('(other)', 'identity', '', 1, 9),
    group('secrets', 'secretbox', 'box', 2, 4),
  );
  assert.deepEqual(lefts(result, ['*.*'], secretboxFirst), []);
  assert.equal(leftOver(result, ['*.*'], undefined).length, 1);
});
