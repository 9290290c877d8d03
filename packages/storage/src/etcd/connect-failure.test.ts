/** Goal: what gRPC says of a connection becomes a sentence that says what to do, without its wrappings. Method: its own words, as they came. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { connectFailure, isTimeUp, wordsOf } from './connect-failure.js';

const tls = { tls: true, hasCa: true, hasClientCertificate: true };
const failed = (details: string): ServiceError =>
  Object.assign(new Error(`14 UNAVAILABLE: ${details}`), {
    code: status.UNAVAILABLE,
    details,
    metadata: new Metadata(),
  });
const noConnection = (lastError: string): ServiceError =>
  failed(`No connection established. Last error: ${lastError}. Resolution note: `);
const alert = (words: string): ServiceError =>
  noConnection(
    `805CB32B547F0000:error:0A000412:SSL routines:ssl3_read_bytes:${words}:../deps/openssl/openssl/ssl/record/rec_layer_s3.c:1601:SSL alert number 42\n (2026-11-22T12:52:36.501Z)`,
  );

test('the words are gRPC’s without what it puts around them', () => {
  for (const [error, words] of [
    [noConnection('Error: connect ECONNREFUSED 127.0.0.1:1'), 'connect ECONNREFUSED 127.0.0.1:1'],
    [noConnection('Failed to connect (2026-11-22T12:53:33.517Z)'), 'Failed to connect'],
    [alert('sslv3 alert bad certificate'), 'SSL routines: sslv3 alert bad certificate'],
    [failed('etcdserver: permission denied'), 'etcdserver: permission denied'],
    [failed(''), '14 UNAVAILABLE: '],
  ] as const) {
    assert.equal(wordsOf(error), words);
  }
});

test('what is wrong with certificates and addresses is said, and whether asking again can help', () => {
  for (const [error, text, isFinal] of [
    [
      noConnection('Error: unable to verify the first certificate'),
      /not signed by the given CA: give the CA/,
      true,
    ],
    [noConnection('Error: certificate has expired'), /server's certificate has expired: renew it/, true],
    [
      noConnection("Error: Hostname/IP does not match certificate's altnames"),
      /for other names: use a name/,
      true,
    ],
    [alert('sslv3 alert bad certificate'), /refuses the client certificate: it must be signed/, true],
    [alert('sslv3 alert certificate expired'), /client certificate has expired: get a new one/, true],
    [
      alert('tlsv1 alert unknown ca'),
      /client certificate is signed by an authority that etcd does not/,
      true,
    ],
    [
      noConnection('Error: Client network socket disconnected before secure TLS connection was established'),
      /is it http:\/\/ instead/,
      true,
    ],
    [noConnection('Error: connect ECONNREFUSED 127.0.0.1:1'), /^nothing listens there \(connect/, false],
    [failed('Name resolution failed for target dns:a.example:2379'), /the name is not known/, false],
  ] as const) {
    const failure = connectFailure(error, tls);
    assert.match(failure.text, text);
    assert.deepEqual([failure.isExplained, failure.isFinal], [true, isFinal], failure.text);
  }
  const none = { tls: true, hasCa: false, hasClientCertificate: false };
  assert.match(
    connectFailure(alert('tlsv13 alert certificate required'), none).text,
    /wants a client certificate: give one/,
  );
  assert.match(
    connectFailure(noConnection('Error: self-signed certificate'), none).text,
    /this machine trusts/,
  );
});

test('without TLS a connection that ends early may want it', () => {
  const ended = noConnection('Failed to connect (2026-11-22T12:53:33.517Z)');
  assert.match(connectFailure(ended, { ...tls, tls: false }).text, /is it https:\/\/ instead/);
  assert.deepEqual(connectFailure(ended, tls), {
    text: 'Failed to connect',
    isExplained: false,
    isFinal: false,
  });
});

test('that time is up says nothing of the connection', () => {
  assert.equal(isTimeUp('Deadline exceeded after 0.001s,Waiting for LB pick'), true);
  assert.equal(isTimeUp('connect ECONNREFUSED'), false);
});
