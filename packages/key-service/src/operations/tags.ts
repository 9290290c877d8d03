/** TagResource, UntagResource, ListResourceTags. */
import { AwsError } from '../aws-error.js';
import type { Tag } from '../keys/key-record.js';
import { checkKeyState } from '../keys/key-states.js';
import { list, required } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import { defineKeyOperation } from './operation.js';
import { pageOf } from './pages.js';

/** KMS quota: tags of a key. */
const MAX_TAGS = 50;

export const tagResource = defineKeyOperation({
  name: 'TagResource',
  action: 'kms:TagResource',
  readOnly: false,
  key: { aliases: false, crossAccount: false, states: 'not-pending-deletion' },
  input: { KeyId: required(shapes.keyId), Tags: required(list(shapes.tag)) },
  async run(call, { Tags }, key) {
    await call.services.keys.updateKey(key, (record) => {
      checkKeyState(record, 'not-pending-deletion');
      return { ...record, tags: checkTags(record.tags, Tags) };
    });
    return undefined;
  },
});

export const untagResource = defineKeyOperation({
  name: 'UntagResource',
  action: 'kms:UntagResource',
  readOnly: false,
  key: { aliases: false, crossAccount: false, states: 'not-pending-deletion' },
  input: { KeyId: required(shapes.keyId), TagKeys: required(list(shapes.tagKey)) },
  async run(call, { TagKeys }, key) {
    const unwanted = new Set(TagKeys);
    await call.services.keys.updateKey(key, (record) => {
      checkKeyState(record, 'not-pending-deletion');
      return { ...record, tags: record.tags.filter(({ TagKey }) => !unwanted.has(TagKey)) };
    });
    return undefined;
  },
});

export const listResourceTags = defineKeyOperation({
  name: 'ListResourceTags',
  action: 'kms:ListResourceTags',
  readOnly: true,
  key: { aliases: false, crossAccount: false, states: 'any' },
  input: { KeyId: required(shapes.keyId), Limit: shapes.limit, Marker: shapes.marker },
  run(_call, input, key) {
    const limits = { defaultSize: 50, maxSize: 50 };
    const { items, tail } = pageOf('ListResourceTags', input, limits, key.tags, ({ TagKey }) => TagKey);
    return { Tags: items, ...tail };
  },
});

/** The tags a key has after `added` are put on it. A tag of the same key is replaced. @throws AwsError TagException */
export function checkTags(present: readonly Tag[], added: readonly Tag[]): readonly Tag[] {
  const byKey = new Map(present.map((tag) => [tag.TagKey, tag]));
  const seen = new Set<string>();
  for (const { TagKey, TagValue } of added) {
    if (TagKey.toLowerCase().startsWith('aws:')) {
      throw new AwsError('TagException', 'Tags beginning with aws: are reserved');
    }
    if (seen.has(TagKey)) throw new AwsError('TagException', 'Duplicate tag keys');
    seen.add(TagKey);
    byKey.set(TagKey, { TagKey, TagValue });
  }
  if (byKey.size > MAX_TAGS) throw new AwsError('TagException', 'Too many tags');
  return [...byKey.values()];
}
