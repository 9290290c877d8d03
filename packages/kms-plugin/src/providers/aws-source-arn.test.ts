/** Goal: calls say for which resource they are made, under the signature; and a call outlives the credentials being read again. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import { test } from 'node:test';
import { startTestKms, testCredentials, testKeyArn, testRegion } from '../testing/aws-kms-server.js';
import { createAwsProvider } from './aws.js';

const connection = { keyId: testKeyArn, region: testRegion, credentials: testCredentials };

test('the source ARN and its account are sent with every call and signed', async (t) => {
  const kms = await startTestKms(t);
  const seen: IncomingHttpHeaders[] = [];
  kms.interfere = (_call, _response, request) => {
    seen.push(request.headers);
    return false;
  };
  const sourceArn = 'arn:aws:eks:eu-test-1:111122223333:cluster/prod';
  const provider = createAwsProvider({ ...connection, endpoint: kms.endpoint, sourceArn });
  t.after(() => provider.close());
  const { signal } = new AbortController();
  const wrapped = await provider.encrypt(provider.snapshot(), Buffer.from('dek'), signal);
  await provider.decrypt({ ...wrapped, version: 'v2', keyId: testKeyArn }, signal);
  assert.deepEqual(kms.problems, []);
  assert.equal(seen.length, 2);
  for (const headers of seen) {
    assert.equal(headers['x-amz-source-arn'], sourceArn);
    assert.equal(headers['x-amz-source-account'], '111122223333');
    assert.match(headers.authorization ?? '', /SignedHeaders=[^,]*x-amz-source-account;x-amz-source-arn/);
  }
  for (const wrong of ['cluster/prod', 'arn:aws:eks', 'arn:aws:eks:r:1:cluster/\n']) {
    assert.throws(() => createAwsProvider({ ...connection, sourceArn: wrong }), /not an ARN/);
  }
});

test('a call that is under way while credentials are read again ends well', async (t) => {
  const kms = await startTestKms(t);
  const gate = new EventEmitter();
  const [arrived, released] = [once(gate, 'arrived'), once(gate, 'released')];
  const provider = createAwsProvider({ ...connection, endpoint: kms.endpoint });
  t.after(() => provider.close());
  const { signal } = new AbortController();
  kms.interfere = (_call, response) => {
    gate.emit('arrived');
    kms.interfere = () => false;
    void released.then(() => {
      response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' });
      response.end(
        JSON.stringify({ CiphertextBlob: Buffer.from('sealed').toString('base64'), KeyId: testKeyArn }),
      );
      return undefined;
    });
    return true;
  };
  const call = provider.encrypt(provider.snapshot(), Buffer.from('dek'), signal);
  await arrived;
  await provider.reload();
  gate.emit('released');
  assert.equal((await call).ciphertext.toString(), '1sealed');
});
