/** Goal: RFC 6902 with the reference's limits. Method: the RFC's appendix A and hostile patches. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { JsonValue } from '@waxseal/api-types';
import { applyJsonPatch, maxOperations } from './json-patch.js';

const cases: readonly (readonly [string, JsonValue, JsonValue, JsonValue])[] = [
  [
    'A.1 adds a member',
    { foo: 'bar' },
    [{ op: 'add', path: '/baz', value: 'qux' }],
    { baz: 'qux', foo: 'bar' },
  ],
  [
    'A.2 adds an element',
    { foo: ['bar', 'baz'] },
    [{ op: 'add', path: '/foo/1', value: 'qux' }],
    { foo: ['bar', 'qux', 'baz'] },
  ],
  ['A.3 removes a member', { baz: 'qux', foo: 'bar' }, [{ op: 'remove', path: '/baz' }], { foo: 'bar' }],
  [
    'A.4 removes an element',
    { foo: ['bar', 'qux', 'baz'] },
    [{ op: 'remove', path: '/foo/1' }],
    { foo: ['bar', 'baz'] },
  ],
  ['A.5 replaces', { baz: 'qux' }, [{ op: 'replace', path: '/baz', value: 'boo' }], { baz: 'boo' }],
  [
    'A.6 moves',
    { foo: { waldo: 'fred' }, qux: {} },
    [{ op: 'move', from: '/foo/waldo', path: '/qux/thud' }],
    { foo: {}, qux: { thud: 'fred' } },
  ],
  [
    'A.7 moves an element',
    { foo: ['all', 'grass', 'cows', 'eat'] },
    [{ op: 'move', from: '/foo/1', path: '/foo/3' }],
    { foo: ['all', 'cows', 'eat', 'grass'] },
  ],
  [
    'A.8 tests',
    { baz: 'qux', foo: ['a', 2] },
    [{ op: 'test', path: '/foo', value: ['a', 2] }],
    { baz: 'qux', foo: ['a', 2] },
  ],
  [
    'A.11 ignores unknown members',
    { foo: 1 },
    [{ op: 'add', path: '/baz', value: 2, xyz: 3 }],
    { foo: 1, baz: 2 },
  ],
  ['A.14 unescapes ~', { '/': 9, '~1': 10 }, [{ op: 'test', path: '/~01', value: 10 }], { '/': 9, '~1': 10 }],
  [
    'A.16 appends',
    { foo: ['bar'] },
    [{ op: 'add', path: '/foo/-', value: ['abc'] }],
    { foo: ['bar', ['abc']] },
  ],
  [
    'copies',
    { a: { b: 1 } },
    [
      { op: 'copy', from: '/a', path: '/c' },
      { op: 'replace', path: '/c/b', value: 2 },
    ],
    { a: { b: 1 }, c: { b: 2 } },
  ],
  ['replaces the whole', { a: 1 }, [{ op: 'replace', path: '', value: { b: 2 } }], { b: 2 }],
  ['counts from the end', { a: [1, 2, 3] }, [{ op: 'remove', path: '/a/-1' }], { a: [1, 2] }],
  [
    'treats constructor as a name',
    { constructor: 'x' },
    [
      { op: 'test', path: '/constructor', value: 'x' },
      { op: 'remove', path: '/constructor' },
    ],
    {},
  ],
  ['tests null against null', { a: null }, [{ op: 'test', path: '/a', value: null }], { a: null }],
];

describe('JSON patch', () => {
  for (const [title, target, patch, expected] of cases) {
    it(title, () => {
      const before = structuredClone(target);
      assert.deepEqual(applyJsonPatch(target, patch), expected);
      assert.deepEqual(target, before);
    });
  }

  for (const [title, target, patch, problem] of [
    ['no array', {}, {}, 'malformed'],
    ['an unknown operation', {}, [{ op: 'spam', path: '' }], 'malformed'],
    ['no path', {}, [{ op: 'add', value: 1 }], 'malformed'],
    ['no value', {}, [{ op: 'add', path: '/a' }], 'malformed'],
    ['no from', {}, [{ op: 'move', path: '/a' }], 'malformed'],
    ['a pointer without a slash', {}, [{ op: 'add', path: 'a', value: 1 }], 'malformed'],
    ['A.9 a failed test', { baz: 'qux' }, [{ op: 'test', path: '/baz', value: 'bar' }], 'test-failed'],
    [
      'A.12 a missing parent',
      { foo: 'bar' },
      [{ op: 'add', path: '/baz/bat', value: 'qux' }],
      'not-applicable',
    ],
    ['an inherited property', {}, [{ op: 'remove', path: '/toString' }], 'not-applicable'],
    ['an index beyond the end', { a: [1] }, [{ op: 'add', path: '/a/3', value: 1 }], 'not-applicable'],
    ['an index that is none', { a: [1] }, [{ op: 'replace', path: '/a/x', value: 1 }], 'not-applicable'],
    ['a leading zero', { a: [1] }, [{ op: 'replace', path: '/a/00', value: 1 }], 'not-applicable'],
    ['a move into itself', { a: { b: 1 } }, [{ op: 'move', from: '/a', path: '/a/b' }], 'not-applicable'],
    ['the removal of everything', { a: 1 }, [{ op: 'remove', path: '' }], 'not-applicable'],
  ] as const) {
    it(`refuses ${title}`, () => {
      assert.throws(() => applyJsonPatch(target as unknown as JsonValue, patch as unknown as JsonValue), {
        name: 'ApiError',
        problem,
      });
    });
  }

  it('limits operations and copied bytes', () => {
    const many = Array.from({ length: maxOperations + 1 }, () => ({ op: 'test', path: '/a', value: 1 }));
    assert.throws(() => applyJsonPatch({ a: 1 }, many), { problem: 'too-large', code: 413 });
    const doubling = Array.from({ length: 64 }, () => ({ op: 'copy', from: '/a', path: '/a/-' }));
    assert.throws(() => applyJsonPatch({ a: ['x'.repeat(1000)] }, doubling), { problem: 'too-large' });
  });

  it('does not show the value a test found', () => {
    assert.throws(
      () => applyJsonPatch({ data: { k: 's3cr3t' } }, [{ op: 'test', path: '/data/k', value: 'other' }]),
      (error: unknown) => !JSON.stringify([String(error), error]).includes('s3cr3t'),
    );
  });
});
