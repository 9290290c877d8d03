// Goal: what aliases and tags answer is what AWS answers. Method: every call of the recordings that applies is made again, and its
// answer compared member by member, its refusal word by word.
import { after, before, test } from 'node:test';
import { ACCOUNT, REGION, startTestService, type TestService } from './testing/harness.js';
import { answers, createKey, type Members, refuses } from './testing/recordings.js';

let kms: TestService;
before(async () => {
  kms = await startTestService();
});
after(() => kms.close());

test('CreateAlias: a name without its prefix', async () => {
  await refuses(
    kms,
    'CreateAlias',
    { AliasName: 'abc', TargetKeyId: await createKey(kms) },
    'ValidationException',
    'Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html',
  );
});

test('aliases that exist, and that do not', async () => {
  const TargetKeyId = await createKey(kms);
  await answers(kms, 'CreateAlias', { AliasName: 'alias/twice', TargetKeyId }, undefined);
  const arn = `arn:aws:kms:${REGION}:${ACCOUNT}:alias/twice`;
  await refuses(
    kms,
    'CreateAlias',
    { AliasName: 'alias/twice', TargetKeyId },
    'AlreadyExistsException',
    `An alias with the name ${arn} already exists`,
  );
  await answers(kms, 'DeleteAlias', { AliasName: 'alias/twice' }, undefined);
  for (const [action, input] of [
    ['DeleteAlias', { AliasName: 'alias/twice' }],
    ['UpdateAlias', { AliasName: 'alias/twice', TargetKeyId }],
    ['DescribeKey', { KeyId: 'alias/twice' }],
  ] as const) {
    await refuses(kms, action, input, 'NotFoundException', `Alias ${arn} is not found.`);
  }
});

const tag = (TagKey: string, TagValue: string): Members => ({ TagKey, TagValue });

test('tags: listed in the order they were put on, and replaced where they are', async () => {
  const KeyId = await createKey(kms, {
    Tags: [tag('tag1', 'value1'), tag('tag2', 'value2'), tag('tag3', 'value3')],
  });
  const Tags = [tag('tag4', 'value4'), tag('tag2', 'updated_value2'), tag('tag5', 'value5')];
  await answers(kms, 'TagResource', { KeyId, Tags }, undefined);
  await answers(
    kms,
    'ListResourceTags',
    { KeyId },
    {
      Tags: [
        tag('tag1', 'value1'),
        tag('tag2', 'updated_value2'),
        tag('tag3', 'value3'),
        tag('tag4', 'value4'),
        tag('tag5', 'value5'),
      ],
      Truncated: false,
    },
  );
  await answers(
    kms,
    'UntagResource',
    { KeyId, TagKeys: ['tag1', 'tag2', 'tag3', 'tag4', 'tag5', 'absent'] },
    undefined,
  );
  await answers(kms, 'ListResourceTags', { KeyId }, { Tags: [], Truncated: false });
});

test('tags that are refused', async () => {
  const KeyId = await createKey(kms);
  const twice = { KeyId, Tags: [tag('tag1', 'value1'), tag('tag1', 'another-value1')] };
  await refuses(kms, 'TagResource', twice, 'TagException', 'Duplicate tag keys');
  const many = Array.from({ length: 51 }, (_, i) => tag(`key${i}`, `value${i}`));
  await refuses(kms, 'CreateKey', { Tags: many }, 'TagException', 'Too many tags');
  for (const key of ['aws:key1', 'AWS:key1']) {
    const Tags = [tag(key, 'value1')];
    await refuses(kms, 'CreateKey', { Tags }, 'TagException', 'Tags beginning with aws: are reserved');
    await refuses(
      kms,
      'TagResource',
      { KeyId, Tags },
      'TagException',
      'Tags beginning with aws: are reserved',
    );
  }
  for (const [one, path, max] of [
    [tag('a'.repeat(129), 'value1'), 'tagKey', 128],
    [tag('tag1', 'v'.repeat(257)), 'tagValue', 256],
  ] as const) {
    const value = String(path === 'tagKey' ? one['TagKey'] : one['TagValue']);
    await refuses(
      kms,
      'CreateKey',
      { Tags: [one] },
      'ValidationException',
      `1 validation error detected: Value '${value}' at 'tags.1.member.${path}' failed to satisfy constraint: Member must have length less than or equal to ${max}`,
    );
  }
});
