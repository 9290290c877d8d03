/**
 * A key service that hangs, resets, answers garbage or in another key's name, through the socket: every answer is classified, none is trusted,
 * Status says why, and nothing that must not be shown is.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { connectKmsV2, KmsApiError, type KmsApiErrorCode } from '@waxseal/kms-api';
import { Registry } from 'prom-client';
import { startPlugin, type Plugin } from './plugin.js';
import { fail, send, startTestKms, testKeyArn, type TestKms } from './testing/aws-kms-server.js';
import { awsProviders } from './testing/every-provider.js';
import { tempFolder } from './testing/temp-folder.js';

/** In everything the hostile service says. */
const marker = 'never-shown-marker';
const otherArn = testKeyArn.replace('1234abcd', '99999999');

interface Hostility {
  readonly interfere: TestKms['interfere'];
  readonly encrypt: readonly KmsApiErrorCode[];
  readonly decrypt: readonly KmsApiErrorCode[];
}

const answering =
  (body: object): TestKms['interfere'] =>
  (_call, response) => {
    send(response, 200, body);
    return true;
  };
const raw =
  (status: number, body: string | Buffer): TestKms['interfere'] =>
  (_call, response) => {
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(body);
    return true;
  };
const only = (encrypt: KmsApiErrorCode, decrypt = encrypt): Pick<Hostility, 'encrypt' | 'decrypt'> => ({
  encrypt: [encrypt],
  decrypt: [decrypt],
});

const hostilities: Readonly<Record<string, Hostility>> = {
  hangs: { interfere: () => true, ...only('deadline_exceeded') },
  'hangs within its answer': {
    interfere: (_call, response) => {
      response.writeHead(200, { 'content-length': 500 });
      response.write('{"KeyId":');
      return true;
    },
    ...only('deadline_exceeded'),
  },
  resets: {
    interfere: (_call, _response, request) => {
      request.socket.resetAndDestroy();
      return true;
    },
    ...only('unavailable'),
  },
  'closes within its answer': {
    interfere: (_call, response, request) => {
      response.writeHead(200, { 'content-length': 500 });
      response.write(`{"KeyId":"${marker}`, () => {
        request.socket.destroy();
      });
      return true;
    },
    encrypt: ['unavailable', 'internal'],
    decrypt: ['unavailable', 'internal'],
  },
  'answers no JSON': { interfere: raw(200, marker), ...only('internal') },
  'answers a page': { interfere: raw(200, `<html>${marker}</html>`), ...only('internal') },
  'answers an empty body': { interfere: raw(200, ''), ...only('internal') },
  'answers bytes': { interfere: raw(200, Buffer.alloc(300, 0xff)), ...only('internal') },
  'answers another type': {
    interfere: answering({ KeyId: 1, Plaintext: [], CiphertextBlob: {} }),
    ...only('internal'),
  },
  'answers 8 MiB': { interfere: raw(200, `"${'x'.repeat(8 * 1024 * 1024)}"`), ...only('internal') },
  'redirects elsewhere': {
    interfere: (_call, response) => {
      response.writeHead(307, { location: `http://127.0.0.1:1/${marker}` }).end();
      return true;
    },
    encrypt: ['internal', 'unavailable'],
    decrypt: ['internal', 'unavailable'],
  },
  "answers in another key's name": {
    interfere: answering({
      KeyId: otherArn,
      CiphertextBlob: 'AAAA',
      Plaintext: Buffer.from(marker).toString('base64'),
    }),
    ...only('internal', 'failed_precondition'),
  },
  'answers more than can be stored': {
    interfere: answering({
      KeyId: testKeyArn,
      CiphertextBlob: Buffer.alloc(1100).toString('base64'),
      Plaintext: Buffer.alloc(5000).toString('base64'),
    }),
    ...only('internal'),
  },
  'invents an error': {
    interfere: (_call, response) => {
      fail(response, 400, marker.replaceAll('-', ''));
      return true;
    },
    ...only('internal'),
  },
};

async function served(
  t: TestContext,
  name: keyof typeof awsProviders,
): Promise<{ kms: TestKms; plugin: Plugin; registry: Registry; socket: string }> {
  const kms = await startTestKms(t);
  const socket = join(await tempFolder(t), 'kms.sock');
  const registry = new Registry();
  const plugin = await startPlugin({
    listen: socket,
    provider: await awsProviders[name](t, kms, [testKeyArn]),
    registry,
    operationTimeoutMs: 400,
    probeIntervalMs: 3_600_000,
    limits: { breakerFailuresMax: 1000 },
  });
  t.after(() => plugin.close());
  return { kms, plugin, registry, socket };
}

for (const name of ['aws', 'waxseal'] as const) {
  for (const [what, { interfere, encrypt, decrypt }] of Object.entries(hostilities)) {
    test(`${name}: a key service that ${what} is classified and not trusted`, async (t) => {
      const { kms, plugin, registry, socket } = await served(t, name);
      const v2 = connectKmsV2({ endpoint: socket });
      t.after(() => {
        v2.close();
      });
      assert.equal((await v2.status()).healthz, 'ok');
      const sealed = await v2.encrypt('u', Buffer.alloc(32, 1));
      kms.interfere = interfere;

      const errors: KmsApiError[] = [];
      const failing =
        (codes: readonly KmsApiErrorCode[]) =>
        (error: unknown): true => {
          assert.ok(error instanceof KmsApiError, String(error));
          assert.ok(codes.includes(error.code), `${error.code}: ${error.message}`);
          errors.push(error);
          return true;
        };
      await assert.rejects(v2.encrypt('u', Buffer.alloc(32, 2)), failing(encrypt));
      await assert.rejects(v2.decrypt('u', sealed), failing(decrypt));

      const { healthz } = await v2.status();
      const everything = [healthz, plugin.healthz(), await registry.metrics(), ...errors.map(String)].join(
        '\n',
      );
      assert.ok(!everything.includes(marker), everything);
      assert.ok(!everything.includes(Buffer.from(marker).toString('base64')));

      // It behaves again: one success clears the error.
      kms.interfere = () => false;
      assert.deepEqual(await v2.decrypt('u', sealed), Buffer.alloc(32, 1));
      await v2.encrypt('u', Buffer.alloc(32, 3));
      assert.equal((await v2.status()).healthz, 'ok');
    });
  }
}
