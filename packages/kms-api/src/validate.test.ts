import assert from 'node:assert/strict';
import { test } from 'node:test';
import { annotationsMaxBytes, keyIdMaxBytes } from './limits.js';
import { annotationsProblem, isFullyQualifiedDomainName, keyIdProblem, lengthProblem } from './validate.js';

test('key ids are 1 to 1024 bytes of UTF-8', () => {
  assert.equal(keyIdProblem('k'), undefined);
  assert.equal(keyIdProblem('k'.repeat(keyIdMaxBytes)), undefined);
  assert.match(keyIdProblem('') ?? '', /empty/);
  assert.match(keyIdProblem('k'.repeat(keyIdMaxBytes + 1)) ?? '', /1025 bytes/);
  assert.match(keyIdProblem('é'.repeat(keyIdMaxBytes / 2 + 1)) ?? '', /1026 bytes/);
});

test('fully qualified domain names are what k8s.io/apimachinery takes for one', () => {
  const label = 'a'.repeat(63);
  for (const name of ['a.b', 'a.b.', '0.1', 'x-y.z', `${label}.${label}`]) {
    assert.ok(isFullyQualifiedDomainName(name), name);
  }
  const refused = [
    '',
    '.',
    'a',
    'a.',
    'a..b',
    '.a.b',
    'A.b',
    '-a.b',
    'a-.b',
    'a_b.c',
    'a.b..',
    `${label}a.b`,
    `${`${label}.`.repeat(4)}a`,
    '__proto__',
  ];
  for (const name of refused) assert.ok(!isFullyQualifiedDomainName(name), name);
});

test('annotations are counted with their keys and never quoted', () => {
  assert.equal(annotationsProblem({}), undefined);
  assert.equal(annotationsProblem({ 'a.b': Buffer.alloc(annotationsMaxBytes - 3) }), undefined);
  assert.match(annotationsProblem({ 'a.b': Buffer.alloc(annotationsMaxBytes - 2) }) ?? '', /32769 bytes/);
  assert.equal(
    annotationsProblem({ 'a.b': Buffer.alloc(0), secret: Buffer.alloc(0) }),
    'the key of annotation 2 is not a fully qualified domain name',
  );
});

test('lengths say what they are and what is allowed', () => {
  assert.equal(lengthProblem('x', 1, 1, 2), undefined);
  assert.equal(lengthProblem('x', 0, 1, 2), 'x is empty');
  assert.equal(lengthProblem('x', 1, 2, 3), 'x is 1 bytes, at least 2 are needed');
  assert.equal(lengthProblem('x', 3, 1, 2), 'x is 3 bytes, the limit is 2');
});
