/** Goal: lint counts what scan counted, by the name that a configuration has for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inventoryOf } from './inventory.js';

test('KMS values count under the name of their provider, keys that are no object’s and plaintext records not at all', () => {
  const group = {
    bytes: 1,
    oldestRevision: 1,
    newestRevision: 1,
    dekSources: [],
    moreDekSources: 0,
    broken: 0,
  };
  const groups = [
    { ...group, resource: 'secrets', provider: 'kms-v2', key: 'arn:1', kmsName: 'cloud', count: 2 },
    { ...group, resource: 'secrets', provider: 'aescbc', key: 'key1', count: 3 },
    { ...group, resource: '(other)', provider: 'identity', key: '', count: 4 },
    { ...group, resource: 'masterleases', provider: 'identity', key: '', count: 1 },
    { ...group, resource: 'ranges', provider: 'aescbc', key: 'key1', count: 5 },
  ] as const;
  assert.deepEqual(inventoryOf({ groups }), [
    { resource: 'secrets', provider: 'kms-v2', name: 'cloud', count: 2 },
    { resource: 'secrets', provider: 'aescbc', name: 'key1', count: 3 },
    { resource: 'services', provider: 'aescbc', name: 'key1', count: 5 },
  ]);
});
