/** Goal: `npm ci` takes the lock file on every platform, and the lock file names no host. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { missingEntries, platformOf } from './complete-lock.mjs';
import { root } from './steps.mjs';

const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));

test('every optional package for another platform is in the lock file', () => {
  assert.deepEqual(Object.keys(missingEntries(lock.packages)), []);
});

test('the lock file records no download address', () => {
  const addresses = Object.values(lock.packages)
    .map(({ resolved }) => resolved)
    .filter((resolved) => resolved !== undefined && /^[a-z+]+:/.test(resolved));
  assert.deepEqual(addresses, []);
});

test('a package’s name says its platform', () => {
  assert.deepEqual(platformOf('@oxlint/binding-linux-arm64-musl'), {
    cpu: ['arm64'],
    os: ['linux'],
    libc: ['musl'],
  });
  assert.deepEqual(platformOf('@oxlint/binding-win32-ia32-msvc'), { cpu: ['ia32'], os: ['win32'] });
  assert.deepEqual(platformOf('@bufbuild/buf-linux-armv7'), { cpu: ['arm'], os: ['linux'] });
  assert.deepEqual(platformOf('@oxlint-tsgolint/darwin-x64'), { cpu: ['x64'], os: ['darwin'] });
});
