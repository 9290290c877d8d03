// Goal: whatever is added and deleted, pages are those of a sorted list without duplicates.
// Method: the same steps on an array that is sorted anew for every question; enough names to cut lists in two.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { SortedNames } from './sorted-names.js';

/** The whole list, page by page. */
function pages(names: SortedNames, pageSize: number): string[] {
  const all: string[] = [];
  for (let page = names.after(undefined, pageSize); page.length > 0;) {
    all.push(...page);
    page = names.after(page.at(-1), pageSize);
  }
  return all;
}

const name = fc.integer({ min: 0, max: 3000 }).map(String);
const steps = fc.array(fc.record({ add: fc.boolean(), name }), { maxLength: 200 });

test('names come in order and once', () => {
  const property = fc.property(
    fc.uniqueArray(name, { minLength: 600, maxLength: 1800 }),
    steps,
    name,
    fc.integer({ min: 1, max: 700 }),
    (start, changes, from, pageSize) => {
      const names = new SortedNames();
      const model = new Set(start);
      for (const one of start) names.add(one);
      for (const change of changes) {
        if (change.add) {
          names.add(change.name);
          model.add(change.name);
        } else {
          names.delete(change.name);
          model.delete(change.name);
        }
      }
      const sorted = [...model].toSorted();
      assert.equal(names.size, sorted.length);
      assert.deepEqual(names.after(undefined, Number.POSITIVE_INFINITY), sorted);
      assert.deepEqual(pages(names, pageSize), sorted);
      assert.deepEqual(names.after(from, pageSize), sorted.filter((one) => one > from).slice(0, pageSize));
    },
  );
  fc.assert(property, { numRuns: 50 });
});

test('a list that was emptied is empty, and can be filled again', () => {
  const names = new SortedNames();
  const all = Array.from({ length: 2000 }, (_, i) => `n-${String(i).padStart(4, '0')}`);
  for (const one of all) names.add(one);
  assert.deepEqual(pages(names, 100), all);
  for (const one of all) names.delete(one);
  assert.equal(names.size, 0);
  assert.deepEqual(names.after(undefined, 10), []);
  assert.deepEqual(names.after('x', 10), []);
  names.delete('x');
  names.add('x');
  assert.deepEqual(names.after(undefined, 10), ['x']);
});
