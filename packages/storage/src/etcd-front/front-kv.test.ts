/** Goal: KV answers what etcd answers, to the letter of its errors. Method: raw messages over a real connection. */
import assert from 'node:assert/strict';
import { status, type ServiceError } from '@grpc/grpc-js';
import { after, before, test } from 'node:test';
import {
  Compare_CompareResult as Result,
  Compare_CompareTarget as Target,
  AuthService,
  KVService,
  LeaseService,
  RangeRequest_SortOrder as SortOrder,
  RangeRequest_SortTarget as SortTarget,
  type Compare,
  type CompactionRequest,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  type TxnRequest,
} from '../gen/etcd/rpc.js';
import { startFrontClient, type FrontClient } from '../testing/front-client.js';

let client: FrontClient;
before(async () => {
  client = await startFrontClient();
});
after(() => client.stop());

const empty = Buffer.alloc(0);
/** Sends bytes as a transaction, whatever they are. */
const rawTxn = { ...KVService.txn, requestSerialize: (bytes: Buffer) => bytes };
const open = Buffer.from([0]);

test('errors have etcd’s codes and words', async () => {
  const key = Buffer.from('errors');
  const putOp = (fields: Partial<PutRequest>): RequestOp => ({
    request: { $case: 'requestPut', value: put(fields) },
  });
  const cases: readonly (readonly [string, () => Promise<unknown>, status, string])[] = [
    [
      'empty key',
      () => client.call(KVService.range, range({})),
      status.INVALID_ARGUMENT,
      'key is not provided',
    ],
    ['empty key', () => client.call(KVService.put, put({})), status.INVALID_ARGUMENT, 'key is not provided'],
    [
      'empty key',
      () => client.call(KVService.txn, txn({ success: [putOp({})] })),
      status.INVALID_ARGUMENT,
      'key is not provided',
    ],
    [
      'value beside ignore_value',
      () => client.call(KVService.put, put({ key, value: key, ignoreValue: true })),
      status.INVALID_ARGUMENT,
      'value is provided',
    ],
    [
      'lease beside ignore_lease',
      () => client.call(KVService.put, put({ key, lease: 1n, ignoreLease: true })),
      status.INVALID_ARGUMENT,
      'lease is provided',
    ],
    [
      'nothing to keep',
      () => client.call(KVService.put, put({ key, ignoreValue: true })),
      status.INVALID_ARGUMENT,
      'key not found',
    ],
    [
      'no lease',
      () => client.call(KVService.put, put({ key, lease: 77n })),
      status.NOT_FOUND,
      'requested lease not found',
    ],
    [
      'put twice',
      () => client.call(KVService.txn, txn({ success: [putOp({ key }), putOp({ key })] })),
      status.INVALID_ARGUMENT,
      'duplicate key given in txn request',
    ],
    [
      'empty operation',
      () => client.call(KVService.txn, txn({ success: [{ request: undefined }] })),
      status.INVALID_ARGUMENT,
      'key not found',
    ],
    [
      '129 operations',
      () =>
        client.call(
          KVService.txn,
          txn({ success: Array.from({ length: 129 }, (_, i) => putOp({ key: Buffer.from(`k${i}`) })) }),
        ),
      status.INVALID_ARGUMENT,
      'too many operations in txn request',
    ],
    [
      'too many with the nested ones',
      () => client.call(KVService.txn, crowded(100, 30)),
      status.INVALID_ARGUMENT,
      'too many operations in txn request',
    ],
    [
      'too large',
      () => client.call(KVService.put, put({ key, value: Buffer.alloc(1_600_000) })),
      status.INVALID_ARGUMENT,
      'request is too large',
    ],
    [
      'future revision',
      () => client.call(KVService.range, range({ key, revision: 1_000_000n })),
      status.OUT_OF_RANGE,
      'mvcc: required revision is a future revision',
    ],
    [
      'a revision no number holds',
      () => client.call(KVService.range, range({ key, revision: 2n ** 63n - 1n })),
      status.OUT_OF_RANGE,
      'mvcc: required revision is a future revision',
    ],
    [
      'compacting the future',
      () => client.call(KVService.compact, { revision: 1_000_000n, physical: false }),
      status.OUT_OF_RANGE,
      'mvcc: required revision is a future revision',
    ],
    [
      'no lease to revoke',
      () => client.call(LeaseService.leaseRevoke, { ID: 5n }),
      status.NOT_FOUND,
      'requested lease not found',
    ],
    [
      'password',
      () => client.call(AuthService.authenticate, { name: 'a', password: 'b' }),
      status.FAILED_PRECONDITION,
      'authentication is not enabled',
    ],
  ];
  for (const [what, answer, code, text] of cases) {
    const error = await answer().then(
      () => undefined,
      (reason: unknown) => reason as ServiceError,
    );
    assert.equal(error?.code, code, what);
    assert.equal(error?.details, `etcdserver: ${text}`, what);
  }
});

test('compacted revisions are told as etcd tells them', async () => {
  const { header } = await client.call(KVService.put, put({ key: Buffer.from('c'), value: empty }));
  const revision = header?.revision ?? 0n;
  await client.call(KVService.put, put({ key: Buffer.from('c'), value: empty }));
  const request: CompactionRequest = { revision: revision + 1n, physical: false };
  await client.call(KVService.compact, request);
  const compacted = {
    code: status.OUT_OF_RANGE,
    details: 'etcdserver: mvcc: required revision has been compacted',
  };
  await assert.rejects(client.call(KVService.range, range({ key: Buffer.from('c'), revision })), compacted);
  await assert.rejects(client.call(KVService.compact, request), compacted);
});

test('ranges sort by any field, filter by revision, and cut last', async () => {
  const at: bigint[] = [];
  for (const [key, value] of [
    ['s/a', '3'],
    ['s/b', '1'],
    ['s/c', '2'],
    ['s/a', '0'],
  ] as const) {
    const answer = await client.call(
      KVService.put,
      put({ key: Buffer.from(key), value: Buffer.from(value) }),
    );
    at.push(answer.header?.revision ?? 0n);
  }
  const listed = async (fields: Partial<RangeRequest>) => {
    const answer = await client.call(
      KVService.range,
      range({ key: Buffer.from('s/'), rangeEnd: Buffer.from('s0'), ...fields }),
    );
    return {
      keys: answer.kvs.map((kv) => kv.key.toString().slice(2)).join(''),
      more: answer.more,
      count: answer.count,
    };
  };
  const all = { more: false, count: 3n };
  const { ASCEND, DESCEND } = SortOrder;
  assert.deepEqual(await listed({}), { keys: 'abc', ...all });
  assert.deepEqual(await listed({ sortOrder: DESCEND }), { keys: 'cba', ...all });
  assert.deepEqual(await listed({ sortTarget: SortTarget.VALUE }), { keys: 'abc', ...all });
  assert.deepEqual(await listed({ sortTarget: SortTarget.MOD, sortOrder: ASCEND }), { keys: 'bca', ...all });
  assert.deepEqual(await listed({ sortTarget: SortTarget.CREATE, sortOrder: DESCEND }), {
    keys: 'cba',
    ...all,
  });
  assert.deepEqual(await listed({ sortTarget: SortTarget.VERSION, sortOrder: DESCEND }), {
    keys: 'abc',
    ...all,
  });
  const last = { sortTarget: SortTarget.MOD, sortOrder: DESCEND, limit: 1n };
  assert.deepEqual(await listed(last), { keys: 'a', more: true, count: 3n });
  assert.deepEqual(await listed({ limit: 2n }), { keys: 'ab', more: true, count: 3n });
  assert.deepEqual(await listed({ countOnly: true }), { keys: '', ...all });
  assert.deepEqual(await listed({ minModRevision: at[2] ?? 0n }), { keys: 'ac', ...all });
  assert.deepEqual(await listed({ maxModRevision: at[2] ?? 0n }), { keys: 'bc', ...all });
  assert.deepEqual(await listed({ minCreateRevision: at[1] ?? 0n }), { keys: 'bc', ...all });
  assert.deepEqual(await listed({ maxCreateRevision: at[1] ?? 0n, limit: 1n }), {
    keys: 'a',
    more: true,
    count: 3n,
  });
});

test('keys only: values are left out, also where they decide the order', async () => {
  for (const [key, value] of [
    ['ko/a', '2'],
    ['ko/b', '1'],
  ] as const) {
    await client.call(KVService.put, put({ key: Buffer.from(key), value: Buffer.from(value) }));
  }
  const { kvs } = await client.call(
    KVService.range,
    range({
      key: Buffer.from('ko/'),
      rangeEnd: Buffer.from('ko0'),
      keysOnly: true,
      sortTarget: SortTarget.VALUE,
    }),
  );
  assert.deepEqual(
    kvs.map((kv) => [kv.key.toString(), kv.value.length]),
    [
      ['ko/b', 0],
      ['ko/a', 0],
    ],
  );
});

test('a transaction answers each operation, ranges sorted as asked, nested ones too', async () => {
  for (const key of ['t/a', 't/b'])
    await client.call(KVService.put, put({ key: Buffer.from(key), value: Buffer.from('1') }));
  const list: RequestOp = {
    request: {
      $case: 'requestRange',
      value: range({
        key: Buffer.from('t/'),
        rangeEnd: Buffer.from('t0'),
        sortOrder: SortOrder.DESCEND,
        limit: 1n,
      }),
    },
  };
  const answer = await client.call(
    KVService.txn,
    txn({
      compare: [
        compare({
          key: Buffer.from('t/a'),
          target: Target.VERSION,
          targetUnion: { $case: 'version', value: 1n },
        }),
      ],
      success: [
        {
          request: {
            $case: 'requestPut',
            value: put({ key: Buffer.from('t/c'), value: Buffer.from('2'), prevKv: true }),
          },
        },
        list,
        { request: { $case: 'requestTxn', value: txn({ success: [list] }) } },
        {
          request: {
            $case: 'requestDeleteRange',
            value: { key: Buffer.from('t/a'), rangeEnd: empty, prevKv: true },
          },
        },
      ],
    }),
  );
  assert.equal(answer.succeeded, true);
  const [first, second, third, fourth] = answer.responses.map((each) => each.response);
  assert.ok(first?.$case === 'responsePut' && first.value.prevKv === undefined);
  assert.ok(second?.$case === 'responseRange');
  assert.deepEqual(
    second.value.kvs.map((kv) => kv.key.toString()),
    ['t/c'],
  );
  assert.equal(second.value.more, true);
  assert.ok(third?.$case === 'responseTxn');
  const inner = third.value.responses[0]?.response;
  assert.ok(inner?.$case === 'responseRange' && inner.value.kvs[0]?.key.toString() === 't/c');
  assert.ok(fourth?.$case === 'responseDeleteRange');
  assert.equal(fourth.value.prevKvs[0]?.value.toString(), '1');
});

test('a comparison without its value compares with zero, as protobuf’s defaults say', async () => {
  const absent = Buffer.from('absent');
  for (const target of [Target.VERSION, Target.CREATE, Target.MOD, Target.LEASE]) {
    const answer = await client.call(KVService.txn, txn({ compare: [compare({ key: absent, target })] }));
    assert.equal(answer.succeeded, true);
  }
  const wholeStore = compare({ key: open, rangeEnd: open, target: Target.MOD, result: Result.GREATER });
  assert.equal((await client.call(KVService.txn, txn({ compare: [wholeStore] }))).succeeded, true);
});

test('bytes that are no message are refused, and the server goes on', async () => {
  const valid = KVService.txn.requestSerialize(
    txn({ success: [{ request: { $case: 'requestPut', value: put({ key: open, value: open }) } }] }),
  );
  const attempts = [Buffer.alloc(64, 0xff), ...Array.from(valid, (_, i) => valid.subarray(0, i))];
  const outcomes = await Promise.allSettled(attempts.map((bytes) => client.call(rawTxn, bytes)));
  const refusals = outcomes.filter((outcome) => outcome.status === 'rejected');
  assert.deepEqual(
    refusals
      .map(({ reason }) => reason as ServiceError)
      .filter(({ code }) => code !== status.INTERNAL && code !== status.INVALID_ARGUMENT),
    [],
  );
  assert.equal(outcomes[0]?.status, 'rejected');
  assert.equal(
    (await client.call(rawTxn, deepTxn(50_000)).catch((e: unknown) => e as ServiceError)) instanceof Error,
    true,
  );
  assert.ok((await client.call(KVService.range, range({ key: open }))).header);
});

function range(fields: Partial<RangeRequest>): RangeRequest {
  return {
    key: empty,
    rangeEnd: empty,
    limit: 0n,
    revision: 0n,
    sortOrder: SortOrder.NONE,
    sortTarget: SortTarget.KEY,
    serializable: false,
    keysOnly: false,
    countOnly: false,
    minModRevision: 0n,
    maxModRevision: 0n,
    minCreateRevision: 0n,
    maxCreateRevision: 0n,
    ...fields,
  };
}

function put(fields: Partial<PutRequest>): PutRequest {
  return {
    key: empty,
    value: empty,
    lease: 0n,
    prevKv: false,
    ignoreValue: false,
    ignoreLease: false,
    ...fields,
  };
}

function txn(fields: Partial<TxnRequest>): TxnRequest {
  return { compare: [], success: [], failure: [], ...fields };
}

function compare(fields: Partial<Compare>): Compare {
  return {
    key: empty,
    rangeEnd: empty,
    result: Result.EQUAL,
    target: Target.VERSION,
    targetUnion: undefined,
    ...fields,
  };
}

/** So many puts, and a nested transaction of so many more. */
function crowded(outer: number, inner: number): TxnRequest {
  const puts = (count: number): RequestOp[] =>
    Array.from({ length: count }, (_, i) => ({
      request: { $case: 'requestPut', value: put({ key: Buffer.from(`crowd/${count}/${i}`) }) },
    }));
  return txn({
    success: [...puts(outer), { request: { $case: 'requestTxn', value: txn({ success: puts(inner) }) } }],
  });
}

/** Transactions within transactions, deeper than any call stack, as bytes: field 2 (success) of field 4 (txn). */
function deepTxn(depth: number): Buffer {
  const parts: Buffer[] = [];
  let size = 0;
  for (let i = 0; i < depth; i++) {
    const inner = Buffer.concat([Buffer.from([0x22]), varint(size)]);
    const outer = Buffer.concat([Buffer.from([0x12]), varint(size + inner.length), inner]);
    parts.push(outer);
    size += outer.length;
  }
  return Buffer.concat(parts.toReversed());
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) + 128);
  }
}
