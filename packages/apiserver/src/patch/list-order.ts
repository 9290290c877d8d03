/**
 * The order of a merged list: items the patch names come as the patch has them, the others keep their places between.
 *
 * Source of the rule: k8s.io/apimachinery `strategicpatch`, normalizeElementOrder; precedence is order list, then
 * patch, then live list.
 */
import { isJsonObject, type JsonValue } from '@waxseal/api-types';

/** What identifies an item: itself, or the value of its merge key. */
export function itemKey(item: JsonValue, key: string | undefined): JsonValue | undefined {
  if (key === undefined) return item;
  return isJsonObject(item) && Object.hasOwn(item, key) ? item[key] : undefined;
}

type Ranks = ReadonlyMap<JsonValue | undefined, number>;

function ranks(order: readonly JsonValue[], key: string | undefined): Ranks {
  const result = new Map<JsonValue | undefined, number>();
  order.forEach((item, index) => {
    const id = itemKey(item, key);
    if (!result.has(id)) result.set(id, index);
  });
  return result;
}

function sortBy(items: JsonValue[], order: Ranks, key: string | undefined): JsonValue[] {
  const last = order.size;
  const rank = (item: JsonValue): number => order.get(itemKey(item, key)) ?? last;
  return items.toSorted((a, b) => rank(a) - rank(b));
}

/**
 * @param order the items that are put in this order, among the others
 * @param live where the others, and first of all the comparison between both, stand
 */
export function enforceOrder(
  items: readonly JsonValue[],
  order: readonly JsonValue[],
  live: readonly JsonValue[],
  key: string | undefined,
): JsonValue[] {
  const orderRanks = ranks(order, key);
  const liveRanks = ranks(live, key);
  const named = sortBy(
    items.filter((item) => orderRanks.has(itemKey(item, key))),
    orderRanks,
    key,
  );
  const others = sortBy(
    items.filter((item) => !orderRanks.has(itemKey(item, key))),
    liveRanks,
    key,
  );
  const result: JsonValue[] = [];
  let next = 0;
  for (const item of named) {
    const rank = liveRanks.get(itemKey(item, key));
    while (next < others.length) {
      const other = others[next];
      const otherRank = other === undefined ? undefined : liveRanks.get(itemKey(other, key));
      if (other === undefined || rank === undefined || otherRank === undefined || otherRank >= rank) break;
      result.push(other);
      next++;
    }
    result.push(item);
  }
  return [...result, ...others.slice(next)];
}
