/** Goal: the static pod in deploy/ has no field that Kubernetes does not know, nor one of another type. Method: the strict decoder. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import type { JsonObject } from './object.js';
import { decodeJsonObject } from './json-decode.js';
import { findType } from './types.js';

test('the static pod of the KMS plugin is a Pod', () => {
  const file = new URL('../../../deploy/static-pod/waxseal-kms.yaml', import.meta.url);
  const manifest = parse(readFileSync(file, 'utf8')) as JsonObject;
  const type = findType('', 'v1', 'Pod');
  assert.ok(type);
  const { unknown, invalid } = decodeJsonObject(type, manifest);
  assert.deepEqual(unknown, []);
  assert.deepEqual(invalid, []);
});
