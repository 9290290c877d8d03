/** Client and server together: what goes in comes out, and what breaks the contract is stopped on either side. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { connectKmsV1, type KmsV1Client } from './client-v1.js';
import { connectKmsV2, type KmsV2Client } from './client-v2.js';
import { KmsApiError, type KmsApiErrorCode } from './errors.js';
import { annotationsMaxBytes, plaintextMaxBytes, v1CiphertextMaxBytes } from './limits.js';
import type { CallReport } from './server-call.js';
import { serveKms, type ServeKmsOptions } from './server.js';
import type { KmsV1Service, KmsV2Service } from './service.js';
import { socketFolder, turningV1, turningV2 } from './testing/services.js';

interface Served {
  readonly v1: KmsV1Client;
  readonly v2: KmsV2Client;
  readonly reports: readonly CallReport[];
}

async function served(
  t: TestContext,
  services: { v1?: KmsV1Service; v2?: KmsV2Service },
  more: Partial<ServeKmsOptions> = {},
): Promise<Served> {
  const listen = join(await socketFolder(t), 'kms.sock');
  const reports: CallReport[] = [];
  const server = await serveKms({ services, listen, onCall: (report) => reports.push(report), ...more });
  const v1 = connectKmsV1({ endpoint: `unix://${listen}` });
  const v2 = connectKmsV2({ endpoint: `unix://${listen}` });
  t.after(async () => {
    v1.close();
    v2.close();
    await server.close(100);
  });
  return { v1, v2, reports };
}

const failing =
  (code: KmsApiErrorCode, message = /./) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof KmsApiError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };

test('v1 and v2 are served on one socket, and every call is reported', async (t) => {
  const { v1, v2, reports } = await served(t, { v1: turningV1(), v2: turningV2() });
  assert.deepEqual(await v2.status(), { version: 'v2', healthz: 'ok', keyId: 'key-1' });
  const sealed = await v2.encrypt('uid-1', Buffer.from('abc'));
  assert.deepEqual(sealed, {
    ciphertext: Buffer.from('cba'),
    keyId: 'key-1',
    annotations: { 'note.waxseal.test': Buffer.from('n') },
  });
  assert.deepEqual(await v2.decrypt('uid-2', sealed), Buffer.from('abc'));
  assert.equal((await v1.version()).runtimeName, 'turning');
  assert.deepEqual(await v1.encrypt(Buffer.from('xyz')), Buffer.from('zyx'));
  assert.deepEqual(await v1.decrypt(Buffer.from('zyx')), Buffer.from('xyz'));
  assert.deepEqual(
    reports.map(({ version, method, code, uid }) => [version, method, code, uid]),
    [
      ['v2', 'Status', 'ok', undefined],
      ['v2', 'Encrypt', 'ok', 'uid-1'],
      ['v2', 'Decrypt', 'ok', 'uid-2'],
      ['v1', 'Version', 'ok', undefined],
      ['v1', 'Version', 'ok', undefined],
      ['v1', 'Encrypt', 'ok', undefined],
      ['v1', 'Decrypt', 'ok', undefined],
    ],
  );
});

test('an abstract socket serves as well', async (t) => {
  const listen = `@waxseal-test-${randomUUID()}`;
  const { v1 } = await served(t, { v1: turningV1() });
  const server = await serveKms({ services: { v2: turningV2() }, listen });
  const v2 = connectKmsV2({ endpoint: `unix:///${listen}` });
  t.after(async () => {
    v2.close();
    await server.close(100);
  });
  assert.deepEqual(server.sockets, [`unix:///${listen}`]);
  assert.equal((await v2.status()).healthz, 'ok');
  assert.equal((await v1.version()).version, 'v1beta1');
});

test('a version that is not served answers unimplemented', async (t) => {
  const { v1, v2 } = await served(t, { v2: turningV2() });
  await assert.rejects(v1.encrypt(Buffer.from('x')), failing('unimplemented', /Check the KMS version/));
  assert.equal((await v2.status()).healthz, 'ok');
});

test('the codes of a service arrive at the caller, strangers messages do not', async (t) => {
  const codes: readonly KmsApiErrorCode[] = [
    'invalid_argument',
    'failed_precondition',
    'permission_denied',
    'unauthenticated',
    'resource_exhausted',
    'unavailable',
    'internal',
  ];
  let next: unknown;
  const { v2, reports } = await served(t, { v2: turningV2({ decrypt: () => Promise.reject(next) }) });
  const request = { ciphertext: Buffer.from('c'), keyId: 'k', annotations: {} };
  for (const code of codes) {
    next = new KmsApiError(code, `because of ${code}`);
    await assert.rejects(v2.decrypt('u', request), failing(code, new RegExp(`because of ${code}`)));
  }
  next = new Error('the key is 1234');
  await assert.rejects(v2.decrypt('u', request), (error: unknown) => {
    assert.ok(failing('internal')(error));
    assert.doesNotMatch(String(error), /1234/);
    return true;
  });
  assert.equal(reports.at(-1)?.error, next);
});

test('requests beyond the limits are not sent', async (t) => {
  const { v1, v2, reports } = await served(t, { v1: turningV1(), v2: turningV2() });
  const one = Buffer.from('c');
  const annotations = {};
  const refused: readonly (() => Promise<unknown>)[] = [
    () => v2.encrypt('u', Buffer.alloc(plaintextMaxBytes + 1)),
    () => v2.decrypt('u', { ciphertext: Buffer.alloc(0), keyId: 'k', annotations }),
    () => v2.decrypt('u', { ciphertext: Buffer.alloc(1025), keyId: 'k', annotations }),
    () => v2.decrypt('u', { ciphertext: one, keyId: '', annotations }),
    () => v2.decrypt('u', { ciphertext: one, keyId: 'k'.repeat(1025), annotations }),
    () => v2.decrypt('u', { ciphertext: one, keyId: 'k', annotations: { short: one } }),
    () =>
      v2.decrypt('u', {
        ciphertext: one,
        keyId: 'k',
        annotations: { 'a.b': Buffer.alloc(annotationsMaxBytes) },
      }),
    () => v1.encrypt(Buffer.alloc(plaintextMaxBytes + 1)),
    () => v1.decrypt(Buffer.alloc(0)),
    () => v1.decrypt(Buffer.alloc(v1CiphertextMaxBytes + 1)),
  ];
  for (const call of refused) await assert.rejects(call(), failing('invalid_argument', /not sent/));
  assert.deepEqual(reports, []);
});

test('the largest lawful messages pass, many small annotations included', async (t) => {
  const annotations = Object.fromEntries(
    Array.from({ length: 5461 }, (_, i) => [`${i.toString(36).padStart(4, '0')}.a`, Buffer.alloc(0)]),
  );
  const { v2 } = await served(t, {
    v2: turningV2({
      encrypt: () =>
        Promise.resolve({ ciphertext: Buffer.alloc(1024, 1), keyId: 'k'.repeat(1024), annotations }),
    }),
  });
  const sealed = await v2.encrypt('u', Buffer.alloc(plaintextMaxBytes));
  assert.equal(Object.keys(sealed.annotations).length, 5461);
  assert.equal((await v2.decrypt('u', sealed)).length, 1024);
});

test('answers that break the contract are withheld by the server', async (t) => {
  const good = { ciphertext: Buffer.from('c'), keyId: 'k', annotations: {} };
  const broken: readonly Partial<typeof good & { annotations: Record<string, Buffer> }>[] = [
    { ciphertext: Buffer.alloc(0) },
    { ciphertext: Buffer.alloc(1025) },
    { keyId: '' },
    { keyId: 'k'.repeat(1025) },
    { annotations: { short: Buffer.alloc(1) } },
  ];
  for (const part of broken) {
    const { v2, reports } = await served(t, {
      v2: turningV2({ encrypt: () => Promise.resolve({ ...good, ...part }) }),
    });
    await assert.rejects(v2.encrypt('u', Buffer.from('p')), failing('internal', /withheld/));
    assert.equal(reports[0]?.code, 'invalid_response');
  }
});

test('a plaintext that nobody can have had wrapped is withheld, and overwritten', async (t) => {
  const given: Buffer[] = [];
  const tooLong = (): Promise<Buffer> => {
    const plaintext = Buffer.alloc(plaintextMaxBytes + 1, 7);
    given.push(plaintext);
    return Promise.resolve(plaintext);
  };
  const { v1, v2, reports } = await served(t, {
    v1: turningV1({ decrypt: tooLong }),
    v2: turningV2({ decrypt: tooLong }),
  });
  const c = Buffer.from('c');
  const request = { ciphertext: c, keyId: 'k', annotations: {} };
  await assert.rejects(v2.decrypt('u', request), failing('internal', /withheld/));
  await assert.rejects(v1.decrypt(c), failing('internal', /withheld/));
  assert.deepEqual(
    reports.filter(({ method }) => method === 'Decrypt').map(({ code }) => code),
    ['invalid_response', 'invalid_response'],
  );
  assert.ok(given.length === 2 && given.every((plaintext) => plaintext.every((byte) => byte === 0)));
});

test('plaintexts are overwritten once they have served', async (t) => {
  const kept: Buffer[] = [];
  const keep = (bytes: Buffer): Buffer => {
    kept.push(bytes);
    return bytes;
  };
  const { v1, v2 } = await served(t, {
    v1: turningV1({
      encrypt: (plaintext) => Promise.resolve(Buffer.from(keep(plaintext))),
      decrypt: () => Promise.resolve(keep(Buffer.from('dek-1'))),
    }),
    v2: turningV2({
      encrypt: (_uid, plaintext) =>
        Promise.resolve({ ciphertext: Buffer.from(keep(plaintext)), keyId: 'k', annotations: {} }),
      decrypt: () => Promise.resolve(keep(Buffer.from('dek-2'))),
    }),
  });
  const c = Buffer.from('c');
  assert.deepEqual(await v1.encrypt(Buffer.from('dek-3')), Buffer.from('dek-3'));
  assert.deepEqual((await v2.encrypt('u', Buffer.from('dek-4'))).ciphertext, Buffer.from('dek-4'));
  assert.deepEqual(await v1.decrypt(c), Buffer.from('dek-1'));
  assert.deepEqual(
    await v2.decrypt('u', { ciphertext: c, keyId: 'k', annotations: {} }),
    Buffer.from('dek-2'),
  );
  assert.deepEqual(
    kept,
    Array.from({ length: 4 }, () => Buffer.alloc(5)),
  );
});

test('a v1 plugin of another version is refused before anything is sent to it', async (t) => {
  const { v1, reports } = await served(t, {
    v1: turningV1({ version: () => Promise.resolve({ version: 'v9', runtimeName: '', runtimeVersion: '' }) }),
  });
  await assert.rejects(v1.encrypt(Buffer.from('x')), failing('invalid_response', /"v9"/));
  assert.deepEqual(
    reports.map((report) => report.method),
    ['Version'],
  );
});
