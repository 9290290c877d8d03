// Goal: every answer has AWS's shape, whatever is sent; bad input is refused by name, in bounded time, and the server stays up.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { startTestService, type TestService } from '../testing/harness.js';
import { rawCall, type RawCall } from '../testing/raw-call.js';
import { StoreError } from '@waxseal/storage';
import { createMemoryStore } from '../testing/memory-store.js';

const store = createMemoryStore();
let kms: TestService;
let keyId: string;

before(async () => {
  kms = await startTestService({ store });
  const { body } = await rawCall(kms, { action: 'CreateKey', body: '{}' });
  keyId = (JSON.parse(body) as { KeyMetadata: { KeyId: string } }).KeyMetadata.KeyId;
});
after(() => kms.close());

async function answers(call: RawCall, status: number, body: object | string): Promise<void> {
  const answer = await rawCall(kms, call);
  assert.equal(answer.status, status, answer.body);
  if (typeof body === 'string') assert.equal(answer.body, body);
  else assert.deepEqual(JSON.parse(answer.body), body);
}

test('a success carries a request id, a type and no caching', async () => {
  const { status, headers } = await rawCall(kms, { body: '{}' });
  assert.equal(status, 200);
  assert.match(String(headers['x-amzn-requestid']), /^[0-9a-f-]{36}$/);
  assert.equal(headers['content-type'], 'application/x-amz-json-1.1');
  assert.equal(headers['cache-control'], 'no-cache, no-store, must-revalidate, private');
});

test('a success without output is an empty body', () =>
  answers({ action: 'DisableKey', body: JSON.stringify({ KeyId: keyId }) }, 200, ''));

test('the shapes of errors', async () => {
  await answers({ action: 'Encrypt', body: `{"KeyId":"${keyId}","Plaintext":"eA=="}` }, 400, {
    __type: 'DisabledException',
    message: `arn:aws:kms:eu-central-1:111122223333:key/${keyId} is disabled.`,
  });
  await answers({ action: 'Decrypt', body: '{"CiphertextBlob":"eA=="}' }, 400, {
    __type: 'InvalidCiphertextException',
  });
  await answers({ user: 'nobody', body: '{}' }, 400, {
    __type: 'AccessDeniedException',
    Message:
      'User: arn:aws:iam::111122223333:user/nobody is not authorized to perform: kms:ListKeys on resource: * because no identity-based policy allows the kms:ListKeys action',
  });
  await answers({ body: '{}', signed: false }, 400, {
    __type: 'MissingAuthenticationTokenException',
    message: 'Missing Authentication Token',
  });
});

test('unknown actions, targets, methods, paths and content types', async () => {
  const unknown = { __type: 'UnknownOperationException' };
  await answers({ action: 'MakeCoffee', body: '{}' }, 400, unknown);
  await answers({ action: 'constructor', body: '{}' }, 400, unknown);
  await answers({ headers: { 'x-amz-target': 'Other.ListKeys' }, body: '{}' }, 400, unknown);
  await answers({ headers: { 'x-amz-target': undefined }, body: '{}' }, 400, unknown);
  await answers({ method: 'PUT', body: '{}' }, 400, unknown);
  await answers({ path: '/x', body: '{}' }, 400, unknown);
  await answers(
    { headers: { 'content-type': 'text/plain' }, body: '{}' },
    404,
    '<UnknownOperationException/>\n',
  );
});

test('bodies that are no request', async () => {
  const serialization = { __type: 'SerializationException' };
  for (const body of ['', '{', '{"a":', 'null', '"x"', 'null x', '{"KeyId":"a"}}', '\u0000', '{"a":NaN}']) {
    await answers({ action: 'DescribeKey', body }, 400, serialization);
  }
  await answers(
    { action: 'DescribeKey', body: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]) },
    400,
    serialization,
  );
  await answers({ action: 'DescribeKey', body: '[]' }, 400, {
    ...serialization,
    Message: 'Start of list found where not expected',
  });
  await answers({ action: 'DescribeKey', body: '{"KeyId":1}' }, 400, {
    ...serialization,
    Message: 'NUMBER_VALUE can not be converted to a String',
  });
  await answers({ action: 'DescribeKey', body: '{"KeyId":{"a":1}}' }, 400, {
    ...serialization,
    Message: 'Start of structure or map found where not expected.',
  });
  for (const Plaintext of ['not base64!', 'eA', 'eA===', 'eB==']) {
    await answers(
      { action: 'Encrypt', body: JSON.stringify({ KeyId: keyId, Plaintext }) },
      400,
      serialization,
    );
  }
});

test('hostile JSON costs little', async () => {
  const deep = `{"a":${'['.repeat(500_000)}${']'.repeat(500_000)}}`;
  await answers({ action: 'DescribeKey', body: deep }, 400, { __type: 'SerializationException' });
  const manyKeys = `{${Array.from({ length: 50_000 }, (_, i) => `"k${i}":"v"`).join(',')}}`;
  const context = await rawCall(kms, {
    action: 'Encrypt',
    body: `{"KeyId":"${keyId}","Plaintext":"eA==","EncryptionContext":${manyKeys}}`,
  });
  assert.equal(context.status, 400);
  assert.match(context.body, /^\{"__type":"ValidationException"/);
  const polluted = await rawCall(kms, {
    body: '{"__proto__":{"Limit":1},"constructor":{"prototype":{"Limit":1}}}',
  });
  assert.equal(polluted.status, 200);
  assert.equal(Object.hasOwn(Object.prototype, 'Limit'), false);
});

test('a member given twice is refused', async () => {
  const serialization = { __type: 'SerializationException' };
  await answers({ action: 'DescribeKey', body: `{"KeyId":"none","KeyId":"${keyId}"}` }, 400, serialization);
  const twice = `{"KeyId":"${keyId}","Plaintext":"eA==","EncryptionContext":{"a":"b","a":"c"}}`;
  await answers({ action: 'Encrypt', body: twice }, 400, serialization);
});

test('members of another JSON type', async () => {
  const Message = 'Start of list found where not expected';
  const structure = 'Start of structure or map found where not expected.';
  for (const [action, input, message] of [
    ['ListKeys', { Limit: '1' }, 'STRING_VALUE can not be converted to an Integer'],
    ['ListKeys', { Limit: true }, 'TRUE_VALUE can not be converted to an Integer'],
    ['ListKeys', { Limit: [1] }, Message],
    ['ListKeys', { Limit: { a: 1 } }, structure],
    ['ListKeys', { Marker: 1 }, 'NUMBER_VALUE can not be converted to a String'],
    ['ListKeys', { Marker: ['x'] }, Message],
    ['TagResource', { KeyId: keyId, Tags: 'x' }, 'Expected list or null'],
    ['TagResource', { KeyId: keyId, Tags: ['x'] }, 'Expected null'],
    ['TagResource', { KeyId: keyId, Tags: {} }, structure],
    ['Encrypt', { KeyId: keyId, Plaintext: 'eA==', EncryptionContext: 'x' }, 'Expected map or null'],
    ['Encrypt', { KeyId: keyId, Plaintext: 'eA==', EncryptionContext: [] }, Message],
    ['Encrypt', { KeyId: keyId, Plaintext: 1 }, 'NUMBER_VALUE can not be converted to a Blob'],
  ] as const) {
    await answers({ action, body: JSON.stringify(input) }, 400, {
      __type: 'SerializationException',
      Message: message,
    });
  }
  // A member that is null, or not known, is not there.
  const nulls = await rawCall(kms, { body: JSON.stringify({ Limit: null, Marker: null, Foo: 1 }) });
  assert.equal(nulls.status, 200);
});

test('a body over 1 MiB is refused', async () => {
  // The server may close while the client still writes; then the refusal is the closed connection.
  const outcome = await rawCall(kms, { body: `{"a":"${'x'.repeat(5 * 1024 * 1024)}"}` }).then(
    ({ status }) => status,
    () => 413,
  );
  assert.equal(outcome, 413);
});

test('bytes that are no HTTP or no TLS end their connection only', async () => {
  await new Promise<void>((resolve) => {
    const socket = connect(kms.service.port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\n\r\n'));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
  });
  assert.equal((await rawCall(kms, { body: '{}' })).status, 200);
});

test('a store that does not answer is a fault of the service, without details', async () => {
  store.failWrites = new StoreError('unavailable', 'etcd at 10.0.0.1 is gone');
  await answers({ action: 'CreateKey', body: '{}' }, 503, {
    __type: 'DependencyTimeoutException',
    message: 'The system timed out while trying to fulfill the request. The request can be retried.',
  });
  store.failWrites = new StoreError('no-space', 'no space left below /srv/keys');
  const { status, body } = await rawCall(kms, { action: 'CreateKey', body: '{}' });
  assert.equal(status, 500);
  assert.match(body, /KMSInternalException.*The disk of the key store is full: nothing was changed/);
  assert.equal(body.includes('/srv'), false);
  store.failWrites = undefined;
  assert.equal((await rawCall(kms, { action: 'CreateKey', body: '{}' })).status, 200);
});

test('STS says who signed', async () => {
  const form = {
    body: 'Action=GetCallerIdentity&Version=2011-06-15',
    service: 'sts',
    headers: {
      'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
      'x-amz-target': undefined,
    },
  };
  const identity = await rawCall(kms, { ...form, user: 'reader' });
  assert.equal(identity.status, 200);
  assert.match(
    identity.body,
    /<Arn>arn:aws:iam::111122223333:user\/reader<\/Arn><UserId>AIDA[0-9A-F]{17}<\/UserId><Account>111122223333<\/Account>/,
  );
  const unsigned = await rawCall(kms, { ...form, signed: false });
  assert.equal(unsigned.status, 403);
  assert.match(unsigned.body, /<Code>MissingAuthenticationToken<\/Code>/);
  const wrongService = await rawCall(kms, { ...form, service: 'kms' });
  assert.equal(wrongService.status, 403);
  assert.match(wrongService.body, /<Code>SignatureDoesNotMatch<\/Code>/);
  const other = await rawCall(kms, { ...form, body: 'Action=AssumeRoleWithSAML' });
  assert.equal(other.status, 400);
  assert.match(other.body, /<Code>InvalidAction<\/Code>/);
});
