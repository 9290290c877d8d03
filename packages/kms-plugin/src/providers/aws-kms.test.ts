/** The aws and waxseal providers against one small KMS: what they send, what they make of its answers and faults. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { testProviderContract } from '../contract/provider-contract.js';
import { KmsPluginError, ProviderError, type FailureClass } from '../errors.js';
import type { Provider } from '../provider.js';
import {
  fail,
  send,
  startTestKms,
  testCredentials,
  testKeyArn,
  testRegion,
  type TestKms,
} from '../testing/aws-kms-server.js';
import { createTestCertificates } from '../testing/certificates.js';
import { tempFolder } from '../testing/temp-folder.js';
import { createAwsProvider } from './aws.js';
import type { AwsKeyOptions } from './aws-kms-provider.js';
import { createWaxsealProvider } from './waxseal.js';

type Create = (
  t: TestContext,
  endpoint: string,
  key?: Partial<AwsKeyOptions>,
  caFile?: string,
) => Promise<Provider>;

async function credentialsFile(t: TestContext): Promise<string> {
  const path = join(await tempFolder(t), 'credentials');
  const text = `# made for a test\n[other]\naws_access_key_id = no\n\n[default]\naws_access_key_id = ${testCredentials.accessKeyId}\naws_secret_access_key=${testCredentials.secretAccessKey}\n`;
  await writeFile(path, text, { mode: 0o600 });
  return path;
}

const creators: Readonly<Record<string, Create>> = {
  aws: async (t, endpoint, key, caFile) => {
    const provider = createAwsProvider({
      keyId: testKeyArn,
      endpoint,
      region: testRegion,
      credentials: testCredentials,
      // A connection that was reset is tried again.
      maxAttempts: 2,
      ...(caFile === undefined ? {} : { caFile }),
      ...key,
    });
    t.after(() => provider.close());
    return provider;
  },
  waxseal: async (t, endpoint, key, caFile) => {
    const provider = createWaxsealProvider({
      keyId: testKeyArn,
      endpoint,
      region: testRegion,
      credentialsFile: await credentialsFile(t),
      ...(caFile === undefined ? {} : { caFile }),
      ...key,
    });
    t.after(() => provider.close());
    return provider;
  },
};

test('aws: each key has the credentials of its own file, whatever the environment names', async (t) => {
  const kms = await startTestKms(t);
  const make = async (text: string, profile?: string): Promise<Provider> => {
    const file = join(await tempFolder(t), 'credentials');
    await writeFile(file, text, { mode: 0o600 });
    const provider = createAwsProvider({
      keyId: testKeyArn,
      endpoint: kms.endpoint,
      region: testRegion,
      credentialsFile: file,
      ...(profile === undefined ? {} : { profile }),
    });
    t.after(() => provider.close());
    return provider;
  };
  const { accessKeyId, secretAccessKey } = testCredentials;
  const section = (name: string): string =>
    `[${name}]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`;
  const first = await make(section('default'));
  const second = await make(`[default]\naws_access_key_id = no\n${section('second')}`, 'second');
  for (const provider of [first, second]) await encrypt(provider, 'dek');
  assert.deepEqual(kms.problems, []);
  const without = await make('[other]\n');
  await assert.rejects(encrypt(without, 'dek'), (error: unknown) => {
    assert.ok(error instanceof ProviderError);
    assert.match(error.message, /has no aws_access_key_id/);
    return true;
  });
});

const signal = (): AbortSignal => new AbortController().signal;
const encrypt = (provider: Provider, plaintext: string, abort = signal()): Promise<{ ciphertext: Buffer }> =>
  provider.encrypt(provider.snapshot(), Buffer.from(plaintext), abort);
const decrypt = (
  provider: Provider,
  ciphertext: Buffer,
  version: 'v1' | 'v2' = 'v2',
  abort = signal(),
): Promise<Buffer> => provider.decrypt({ ciphertext, version, keyId: testKeyArn, annotations: {} }, abort);
const failing =
  (failureClass: FailureClass, message = /./) =>
  (error: unknown) => {
    assert.ok(error instanceof ProviderError, String(error));
    assert.equal(error.failure.class, failureClass, error.message);
    assert.match(error.message, message);
    assert.doesNotMatch(error.message, /never shown/);
    return true;
  };

for (const [name, create] of Object.entries(creators)) {
  testProviderContract(name, async (t) => create(t, (await startTestKms(t)).endpoint));

  test(`${name}: the call is signed and carries key and context; the ciphertext is '1' and the blob`, async (t) => {
    const kms = await startTestKms(t);
    const provider = await create(t, kms.endpoint, {
      keyId: 'alias/waxseal',
      encryptionContext: { cluster: 'test' },
    });
    const { ciphertext } = await encrypt(provider, 'dek');
    assert.equal(provider.snapshot().keyId, 'alias/waxseal');
    assert.deepEqual(ciphertext.subarray(0, 3), Buffer.from([0x31, 1, 2]));
    assert.equal((await decrypt(provider, ciphertext)).toString(), 'dek');
    assert.deepEqual(kms.problems, []);
    assert.deepEqual(kms.calls, [
      {
        action: 'Encrypt',
        fields: {
          KeyId: 'alias/waxseal',
          Plaintext: Buffer.from('dek').toString('base64'),
          EncryptionContext: { cluster: 'test' },
        },
      },
      {
        action: 'Decrypt',
        fields: {
          CiphertextBlob: ciphertext.subarray(1).toString('base64'),
          EncryptionContext: { cluster: 'test' },
        },
      },
    ]);
  });

  test(`${name}: v1 reads a blob without its '1', v2 does not`, async (t) => {
    const kms = await startTestKms(t);
    const provider = await create(t, kms.endpoint);
    const blob = (await encrypt(provider, 'dek')).ciphertext.subarray(1);
    assert.equal((await decrypt(provider, blob, 'v1')).toString(), 'dek');
    await assert.rejects(decrypt(provider, blob, 'v2'), failing('corrupt', /without its prefix/));
    await assert.rejects(decrypt(provider, Buffer.from('1'), 'v2'), failing('corrupt', /empty/));
  });

  test(`${name}: another encryption context does not open`, async (t) => {
    const kms = await startTestKms(t);
    const one = await create(t, kms.endpoint, { encryptionContext: { cluster: 'one' } });
    const two = await create(t, kms.endpoint, { encryptionContext: { cluster: 'two' } });
    const { ciphertext } = await encrypt(one, 'dek');
    await assert.rejects(decrypt(two, ciphertext), failing('corrupt', /encryption context/));
  });

  test(`${name}: only listed keys open, when there is a list; aliases cannot be listed`, async (t) => {
    const kms = await startTestKms(t);
    const { ciphertext } = await encrypt(await create(t, kms.endpoint), 'dek');
    for (const id of [testKeyArn, '1234abcd-12ab-34cd-56ef-1234567890ab']) {
      const allowed = await create(t, kms.endpoint, { decryptKeyIds: ['other', id] });
      assert.equal((await decrypt(allowed, ciphertext)).toString(), 'dek');
    }
    const refusing = await create(t, kms.endpoint, { decryptKeyIds: ['other'] });
    await assert.rejects(decrypt(refusing, ciphertext), failing('corrupt', /list of keys/));
    await assert.rejects(
      create(t, kms.endpoint, { decryptKeyIds: ['alias/waxseal'] }),
      (error) => error instanceof KmsPluginError && error.code === 'invalid_options',
    );
  });

  test(`${name}: an answer for another key is not trusted`, async (t) => {
    const kms = await startTestKms(t);
    const provider = await create(t, kms.endpoint);
    kms.interfere = (_call, response) => {
      send(response, 200, { CiphertextBlob: 'AAAA', KeyId: testKeyArn.replace('1234abcd', '99999999') });
      return true;
    };
    await assert.rejects(encrypt(provider, 'dek'), failing('internal', /another key/));
  });

  const refusals: readonly (readonly [string, number, FailureClass, RegExp])[] = [
    ['AccessDeniedException', 400, 'denied', /kms:Encrypt/],
    ['NotFoundException', 400, 'user-induced', /region/],
    ['DisabledException', 400, 'user-induced', /enable it/],
    ['KMSInvalidStateException', 400, 'user-induced', /cancel its deletion/],
    ['UnrecognizedClientException', 400, 'denied', /credentials/],
    ['ExpiredTokenException', 400, 'denied', /expired/],
    ['InvalidCiphertextException', 400, 'corrupt', /damaged/],
    ['IncorrectKeyException', 400, 'corrupt', /another key/],
    ['com.amazonaws.kms#ThrottlingException', 400, 'throttled', /rate/],
    ['KMSInternalException', 500, 'unavailable', /tried again/],
    ['XksProxyUriUnreachableException', 400, 'unavailable', /external key store/],
    ['NeverHeardOfException', 400, 'internal', /./],
    ['NeverHeardOfException', 503, 'unavailable', /./],
  ];
  for (const [type, status, failureClass, message] of refusals) {
    test(`${name}: ${type} with ${status} is ${failureClass}`, async (t) => {
      const kms = await startTestKms(t);
      const provider = await create(t, kms.endpoint);
      kms.interfere = (_call, response) => {
        fail(response, status, type);
        return true;
      };
      await assert.rejects(encrypt(provider, 'dek'), failing(failureClass, message));
    });
  }

  test(`${name}: garbage is refused and never quoted`, async (t) => {
    const kms = await startTestKms(t);
    const provider = await create(t, kms.endpoint);
    for (const body of [
      '',
      'never shown',
      '[]',
      'null',
      '{}',
      '{"KeyId":"x"}',
      '{"CiphertextBlob":"","KeyId":"x"}',
      `"${'x'.repeat(100)}"`,
    ]) {
      kms.interfere = (_call, response) => {
        response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' }).end(body);
        return true;
      };
      await assert.rejects(encrypt(provider, 'dek'), failing('internal'), body);
    }
  });

  test(`${name}: a hanging service is left when the caller says so`, async (t) => {
    const kms = await startTestKms(t);
    const provider = await create(t, kms.endpoint);
    await encrypt(provider, 'dek');
    const abort = new AbortController();
    kms.interfere = () => {
      setImmediate(() => {
        abort.abort();
      });
      return true;
    };
    await assert.rejects(encrypt(provider, 'dek', abort.signal), failing('cancelled'));
  });

  test(`${name}: a reset connection is tried again, one that always resets is unavailable`, async (t) => {
    const kms = await startTestKms(t);
    const provider = await create(t, kms.endpoint);
    let resets = 1;
    kms.interfere = (_call, _response, request) => {
      resets -= 1;
      if (resets < 0) return false;
      request.socket.resetAndDestroy();
      return true;
    };
    await encrypt(provider, 'dek');
    resets = 100;
    await assert.rejects(encrypt(provider, 'dek'), failing('unavailable', /cannot be reached/));
  });

  test(`${name}: nobody at the endpoint is unavailable`, async (t) => {
    const kms = await startTestKms(t);
    const provider = await create(t, kms.endpoint);
    kms.server.close();
    kms.server.closeAllConnections();
    await assert.rejects(encrypt(provider, 'dek'), failing('unavailable', /ECONNREFUSED/));
  });

  test(`${name}: a private CA is trusted when it is named and only then`, async (t) => {
    const certificates = await createTestCertificates();
    const kms: TestKms = await startTestKms(t, certificates);
    const caFile = join(await tempFolder(t), 'ca.pem');
    await writeFile(caFile, certificates.caPem);
    const trusting = await create(t, kms.endpoint, {}, caFile);
    assert.equal((await decrypt(trusting, (await encrypt(trusting, 'dek')).ciphertext)).toString(), 'dek');
    const doubting = await create(t, kms.endpoint);
    await assert.rejects(encrypt(doubting, 'dek'), failing('unavailable', /not trusted/));
  });
}

test('aws and waxseal read what the other wrote', async (t) => {
  const kms = await startTestKms(t);
  const [one, two] = await Promise.all(Object.values(creators).map((create) => create(t, kms.endpoint)));
  assert.ok(one !== undefined && two !== undefined);
  assert.equal((await decrypt(one, (await encrypt(two, 'dek')).ciphertext)).toString(), 'dek');
  assert.equal((await decrypt(two, (await encrypt(one, 'dek')).ciphertext)).toString(), 'dek');
});

test('waxseal refuses to send data keys in the clear, and to guess an endpoint', () => {
  for (const endpoint of ['http://kms.example.com', 'kms', 'ftp://127.0.0.1', '']) {
    assert.throws(
      () => createWaxsealProvider({ keyId: 'k', endpoint, credentialsFile: '/nowhere' }),
      (error) => error instanceof KmsPluginError && error.code === 'invalid_options',
    );
  }
});

test('waxseal reads its credentials again when the service does not know them', async (t) => {
  const kms = await startTestKms(t);
  const path = await credentialsFile(t);
  await writeFile(path, '[default]\naws_access_key_id = AKIDOLD\naws_secret_access_key = old\n');
  const provider = createWaxsealProvider({
    keyId: testKeyArn,
    endpoint: kms.endpoint,
    region: testRegion,
    credentialsFile: path,
  });
  t.after(() => provider.close());
  await assert.rejects(encrypt(provider, 'dek'), failing('denied'));
  const { accessKeyId, secretAccessKey } = testCredentials;
  await writeFile(
    path,
    `[default]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`,
  );
  await encrypt(provider, 'dek');
});

test('credentials that cannot be used are said so without quoting the file', async (t) => {
  const kms = await startTestKms(t);
  const path = join(await tempFolder(t), 'credentials');
  await writeFile(path, '[default]\naws_secret_access_key = never shown\n');
  for (const file of [path, `${path}.absent`]) {
    const provider = createWaxsealProvider({
      keyId: testKeyArn,
      endpoint: kms.endpoint,
      credentialsFile: file,
    });
    t.after(() => provider.close());
    await assert.rejects(encrypt(provider, 'dek'), failing('user-induced', /credentials file/));
  }
});
