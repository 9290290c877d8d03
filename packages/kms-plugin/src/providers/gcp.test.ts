/** The gcp provider through Google's own client against a small Cloud KMS: what it sends, what it makes of answers and faults. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { testProviderContract } from '../contract/provider-contract.js';
import { KmsPluginError, ProviderError, type FailureClass } from '../errors.js';
import type { Provider } from '../provider.js';
import { createFakeClock } from '../testing/fake-clock.js';
import {
  fail,
  impersonationPath,
  startTestCloudKms,
  stsPath,
  testGcpKey,
  testSubjectToken,
  type TestCloudKms,
} from '../testing/google-cloud-kms-server.js';
import { tempFolder } from '../testing/temp-folder.js';
import { createGcpProvider, type GcpProviderOptions } from './gcp.js';
import { settleMs } from './gcp-primary-version.js';

const signal = (): AbortSignal => new AbortController().signal;
const versionName = (version: number): string => `${testGcpKey}/cryptoKeyVersions/${version}`;

function create(t: TestContext, kms: TestCloudKms, options: Partial<GcpProviderOptions> = {}): Provider {
  const provider = createGcpProvider({
    key: testGcpKey,
    endpoint: kms.endpoint,
    credentialsFile: kms.credentialsFile,
    ...options,
  });
  t.after(() => provider.close());
  return provider;
}

/** One that has spoken with Cloud KMS, and so knows the version in use. */
async function created(
  t: TestContext,
  kms: TestCloudKms,
  options?: Partial<GcpProviderOptions>,
): Promise<Provider> {
  const provider = create(t, kms, options);
  await encrypt(provider, 'first');
  return provider;
}

async function encrypt(provider: Provider, plaintext: string, abort = signal()): Promise<Buffer> {
  return (await provider.encrypt(provider.snapshot(), Buffer.from(plaintext), abort)).ciphertext;
}

async function decrypt(provider: Provider, ciphertext: Buffer, keyId: string | undefined): Promise<string> {
  const version = keyId === undefined ? 'v1' : 'v2';
  return (await provider.decrypt({ ciphertext, version, keyId, annotations: {} }, signal())).toString();
}

const failing =
  (failureClass: FailureClass, message = /./) =>
  (error: unknown) => {
    assert.ok(error instanceof ProviderError, String(error));
    assert.equal(error.failure.class, failureClass, error.message);
    assert.match(error.message, message);
    assert.doesNotMatch(everythingOf(error), /never shown|c2VjcmV0LWRlaw|secret-dek/);
    return true;
  };

/** All an error holds, its causes with it. */
function everythingOf(error: Error): string {
  const own = JSON.stringify(
    Object.getOwnPropertyNames(error).map((name) => String(Reflect.get(error, name))),
  );
  return error.cause instanceof Error ? own + everythingOf(error.cause) : own;
}

testProviderContract('gcp', async (t) => created(t, await startTestCloudKms(t)));

test('the first answer names the version in use; what travels is what Cloud KMS asks for', async (t) => {
  const kms = await startTestCloudKms(t);
  const provider = create(t, kms);
  assert.equal(provider.snapshot().keyId, testGcpKey);
  const ciphertext = await encrypt(provider, 'dek');
  assert.equal(provider.snapshot().keyId, versionName(1));
  assert.equal(provider.snapshot().keyVersion, '1');
  assert.equal(await decrypt(provider, ciphertext, versionName(1)), 'dek');
  assert.deepEqual(kms.problems, []);
  assert.deepEqual(
    kms.calls.map(({ action, name }) => [action, name]),
    [
      ['encrypt', testGcpKey],
      ['decrypt', testGcpKey],
    ],
  );
  assert.equal(kms.calls[1]?.fields['ciphertext'], ciphertext.toString('base64'));
});

test('what k8s-cloudkms-plugin stored is read: v1 without a key id, v2 by version, by key, and with a suffix', async (t) => {
  const kms = await startTestCloudKms(t);
  const provider = await created(t, kms);
  const first = await encrypt(provider, 'dek');
  kms.addVersion();
  for (const keyId of [
    undefined,
    versionName(1),
    testGcpKey,
    `${testGcpKey}:again`,
    `${versionName(1)}:2024-05`,
  ]) {
    assert.equal(await decrypt(provider, first, keyId), 'dek', keyId);
  }
});

test('the suffix of the key id is written as k8s-cloudkms-plugin writes it', async (t) => {
  const kms = await startTestCloudKms(t);
  const provider = create(t, kms, { keyIdSuffix: 'again' });
  assert.equal(provider.snapshot().keyId, `${testGcpKey}:again`);
  const ciphertext = await encrypt(provider, 'dek');
  assert.equal(provider.snapshot().keyId, `${versionName(1)}:again`);
  assert.equal(await decrypt(provider, ciphertext, provider.snapshot().keyId), 'dek');
});

test('a rotation: the snapshot that was given wraps to the end, the next names the new version', async (t) => {
  const kms = await startTestCloudKms(t);
  const provider = await created(t, kms);
  const old = provider.snapshot();
  kms.addVersion();
  const { ciphertext } = await provider.encrypt(old, Buffer.from('dek'), signal());
  assert.equal(ciphertext[1], 1, 'the version of the snapshot wrapped');
  assert.equal(provider.snapshot().keyId, versionName(2));
  assert.equal((await encrypt(provider, 'dek'))[1], 2);
  const late = await provider.encrypt(old, Buffer.from('dek'), signal());
  assert.equal(late.ciphertext[1], 1);
  assert.equal(await decrypt(provider, late.ciphertext, old.keyId), 'dek');
});

test('answers that name the old and the new version in turn do not turn the key id around', async (t) => {
  const kms = await startTestCloudKms(t);
  const clock = createFakeClock();
  const provider = await created(t, kms, { clock });
  kms.addVersion();
  await encrypt(provider, 'dek');
  const { keyId } = provider.snapshot();
  for (const primary of [1, 2, 1, 1, 2, 1]) {
    kms.primary = primary;
    clock.advance(settleMs / 2);
    assert.equal((await encrypt(provider, 'dek'))[1], 2);
    assert.equal(provider.snapshot().keyId, keyId);
  }
});

test('a primary that was set back is followed after a while, or at once when the newer version is disabled', async (t) => {
  const kms = await startTestCloudKms(t);
  const clock = createFakeClock();
  kms.addVersion();
  const patient = await created(t, kms, { clock });
  const forced = await created(t, kms);
  kms.primary = 1;
  await encrypt(patient, 'dek');
  clock.advance(settleMs);
  await encrypt(patient, 'dek');
  assert.equal(patient.snapshot().keyId, versionName(1));

  const newer = kms.versions.get(2);
  assert.ok(newer !== undefined);
  newer.state = 'DISABLED';
  await assert.rejects(encrypt(forced, 'dek'), failing('user-induced', /disabled/));
  await encrypt(forced, 'dek').catch(() => undefined);
  assert.equal(forced.snapshot().keyId, versionName(1));
  assert.equal((await encrypt(forced, 'dek'))[1], 1);
});

test('a version that is named wraps, whichever is the primary', async (t) => {
  const kms = await startTestCloudKms(t);
  const provider = create(t, kms, { key: versionName(1) });
  kms.addVersion();
  assert.equal(provider.snapshot().keyId, versionName(1));
  const ciphertext = await encrypt(provider, 'dek');
  assert.equal(ciphertext[1], 1);
  assert.equal(kms.calls[0]?.name, versionName(1));
  assert.equal(await decrypt(provider, ciphertext, versionName(1)), 'dek');
});

test('only the key and listed ones are asked to decrypt, whatever the key id says', async (t) => {
  const kms = await startTestCloudKms(t);
  const provider = await created(t, kms);
  const ciphertext = await encrypt(provider, 'dek');
  const other = testGcpKey.replace('cluster', 'other');
  const stored = { ciphertext, version: 'v2', keyId: other, annotations: {} } as const;
  const asked = kms.calls.length;
  await assert.rejects(decrypt(provider, ciphertext, other), failing('corrupt', /list of keys/));
  assert.equal(kms.calls.length, asked, 'Cloud KMS was not asked');
  assert.equal(provider.recognizes(stored), false);
  const reader = create(t, kms, { key: other, decryptKeys: [testGcpKey] });
  assert.equal(reader.recognizes(stored), true);
  assert.equal(await decrypt(reader, ciphertext, versionName(1)), 'dek');
});

test('a project by its number is the project by its id', async (t) => {
  const kms = await startTestCloudKms(t);
  const provider = create(t, kms);
  kms.alter = (_call, answer) => {
    answer['name'] = versionName(1).replace('test-project', '123456789');
  };
  const ciphertext = await encrypt(provider, 'dek');
  assert.equal(provider.snapshot().keyId, versionName(1).replace('test-project', '123456789'));
  kms.alter = () => {};
  assert.equal(await decrypt(provider, ciphertext, provider.snapshot().keyId), 'dek');
});

test('other additional authenticated data does not open', async (t) => {
  const kms = await startTestCloudKms(t);
  const bound = await created(t, kms, { additionalAuthenticatedData: 'cluster one' });
  const ciphertext = await encrypt(bound, 'dek');
  assert.deepEqual({ ...bound.snapshot().encryptionContext }, { additionalAuthenticatedData: 'cluster one' });
  assert.equal(await decrypt(bound, ciphertext, undefined), 'dek');
  for (const additionalAuthenticatedData of ['', 'cluster two']) {
    const provider = create(t, kms, { additionalAuthenticatedData });
    await assert.rejects(decrypt(provider, ciphertext, undefined), failing('corrupt', /authenticated data/));
  }
  assert.deepEqual(kms.problems, []);
});

const wrongAnswers: readonly (readonly [string, FailureClass, (answer: Record<string, unknown>) => void])[] =
  [
    ['another key', 'internal', (answer) => (answer['name'] = versionName(1).replace('cluster', 'other'))],
    ['another location', 'internal', (answer) => (answer['name'] = versionName(1).replace('west1', 'west4'))],
    ['another project', 'internal', (answer) => (answer['name'] = versionName(1).replace('test-', 'evil-'))],
    ['a key without a version', 'internal', (answer) => (answer['name'] = testGcpKey)],
    ['no name', 'internal', (answer) => delete answer['name']],
    ['another checksum', 'unavailable', (answer) => (answer['ciphertextCrc32c'] = '7')],
    ['no checksum', 'internal', (answer) => delete answer['ciphertextCrc32c']],
    ['another ciphertext', 'unavailable', (answer) => (answer['ciphertext'] = 'AAAA')],
    ['no ciphertext', 'unavailable', (answer) => delete answer['ciphertext']],
    ['an unverified plaintext', 'unavailable', (answer) => (answer['verifiedPlaintextCrc32c'] = false)],
    [
      'unverified authenticated data',
      'unavailable',
      (answer) => delete answer['verifiedAdditionalAuthenticatedDataCrc32c'],
    ],
    ['a number for a ciphertext', 'internal', (answer) => (answer['ciphertext'] = 5)],
  ];
for (const [what, failureClass, alter] of wrongAnswers) {
  test(`an answer to Encrypt with ${what} is not trusted`, async (t) => {
    const kms = await startTestCloudKms(t);
    const provider = create(t, kms, { additionalAuthenticatedData: 'x' });
    kms.alter = (_call, answer) => {
      alter(answer);
    };
    await assert.rejects(encrypt(provider, 'secret-dek'), failing(failureClass));
    assert.equal(provider.snapshot().keyId, testGcpKey);
  });
}

test('an answer to Decrypt with another plaintext or checksum is not trusted', async (t) => {
  const kms = await startTestCloudKms(t);
  const provider = await created(t, kms);
  const ciphertext = await encrypt(provider, 'secret-dek');
  for (const [field, value] of [
    ['plaintext', 'AAAA'],
    ['plaintextCrc32c', '7'],
  ] as const) {
    kms.alter = (_call, answer) => {
      answer[field] = value;
    };
    await assert.rejects(decrypt(provider, ciphertext, undefined), failing('unavailable', /checksum/));
  }
});

const refusals: readonly (readonly [string, number, string | undefined, FailureClass, RegExp])[] = [
  ['PERMISSION_DENIED', 403, undefined, 'denied', /cryptoKeyEncrypterDecrypter/],
  ['PERMISSION_DENIED', 403, 'SERVICE_DISABLED', 'user-induced', /enable cloudkms/],
  ['PERMISSION_DENIED', 403, 'BILLING_DISABLED', 'user-induced', /billing/],
  ['PERMISSION_DENIED', 403, 'NeverHeardOf', 'denied', /roles/],
  ['NOT_FOUND', 404, undefined, 'user-induced', /does not exist/],
  ['FAILED_PRECONDITION', 400, undefined, 'user-induced', /disabled, destroyed/],
  ['INVALID_ARGUMENT', 400, undefined, 'user-induced', /name of the key/],
  ['UNAUTHENTICATED', 401, undefined, 'denied', /credentials/],
  ['RESOURCE_EXHAUSTED', 429, undefined, 'throttled', /rate/],
  ['UNAVAILABLE', 503, undefined, 'unavailable', /tried again/],
  ['INTERNAL', 500, undefined, 'unavailable', /tried again/],
  ['DEADLINE_EXCEEDED', 504, undefined, 'unavailable', /in time/],
  ['NEVER_HEARD_OF', 502, undefined, 'unavailable', /tried again/],
  ['NEVER_HEARD_OF', 418, undefined, 'internal', /./],
];
for (const [status, httpStatus, reason, failureClass, message] of refusals) {
  test(`${status} with ${httpStatus} ${reason ?? ''} is ${failureClass}`, async (t) => {
    const kms = await startTestCloudKms(t);
    const provider = create(t, kms);
    kms.interfere = (_call, response) => {
      fail(response, httpStatus, status, reason);
      return true;
    };
    await assert.rejects(encrypt(provider, 'secret-dek'), failing(failureClass, message));
  });
}

test('garbage is refused and never quoted', async (t) => {
  const kms = await startTestCloudKms(t);
  const provider = create(t, kms);
  for (const body of ['', 'never shown', '[]', 'null', '{}', '{"name":{}}', `"${'x'.repeat(100)}"`]) {
    kms.interfere = (_call, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(body);
      return true;
    };
    await assert.rejects(encrypt(provider, 'secret-dek'), (error) => {
      assert.ok(error instanceof ProviderError, body);
      assert.ok(['internal', 'unavailable'].includes(error.failure.class), `${body}: ${error.message}`);
      assert.doesNotMatch(everythingOf(error), /never shown|secret-dek/);
      return true;
    });
  }
});

test('a redirect is not followed with a DEK', async (t) => {
  const kms = await startTestCloudKms(t);
  const elsewhere = await startTestCloudKms(t);
  const provider = create(t, kms);
  kms.interfere = (_call, response, request) => {
    response.writeHead(307, { location: `${elsewhere.endpoint}${request.url ?? ''}` }).end();
    return true;
  };
  await assert.rejects(encrypt(provider, 'secret-dek'), failing('internal', /endpoint/));
  assert.equal(elsewhere.calls.length + elsewhere.problems.length, 0);
});

test('a hanging service is left when the caller says so', async (t) => {
  const kms = await startTestCloudKms(t);
  const provider = await created(t, kms);
  const abort = new AbortController();
  kms.interfere = () => {
    setImmediate(() => {
      abort.abort();
    });
    return true;
  };
  await assert.rejects(encrypt(provider, 'dek', abort.signal), failing('cancelled'));
  await assert.rejects(encrypt(provider, 'dek', AbortSignal.abort()), failing('cancelled'));
});

test('a connection that is reset is unavailable, and so is nobody at the endpoint', async (t) => {
  const kms = await startTestCloudKms(t);
  const provider = await created(t, kms);
  kms.interfere = (_call, _response, request) => {
    request.socket.resetAndDestroy();
    return true;
  };
  await assert.rejects(encrypt(provider, 'secret-dek'), failing('unavailable', /ECONNRESET/));
  kms.server.close();
  kms.server.closeAllConnections();
  await assert.rejects(encrypt(provider, 'secret-dek'), failing('unavailable', /ECONNREFUSED/));
});

test('credentials that cannot be used are said so without quoting the file; a reload finds better ones', async (t) => {
  const kms = await startTestCloudKms(t);
  const path = join(await tempFolder(t), 'credentials.json');
  const contents = [
    'never shown',
    '{}',
    '{"type":"service_account","private_key":"never shown","client_email":"a@b"}',
  ];
  const provider = create(t, kms, { credentialsFile: path });
  await assert.rejects(encrypt(provider, 'dek'), failing('user-induced', /cannot be read/));
  for (const content of contents) {
    await writeFile(path, content);
    await assert.rejects(
      encrypt(create(t, kms, { credentialsFile: path }), 'dek'),
      failing('denied'),
      content,
    );
  }
  await writeFile(path, await readFile(kms.credentialsFile));
  await provider.reload();
  await encrypt(provider, 'dek');
});

/** A workload identity federation, as `gcloud iam workload-identity-pools create-cred-config` writes it. */
async function federation(
  t: TestContext,
  kms: TestCloudKms,
  subjectToken: string,
  more: object,
): Promise<string> {
  const folder = await tempFolder(t);
  await writeFile(join(folder, 'token'), subjectToken);
  const path = join(folder, 'federation.json');
  const config = {
    type: 'external_account',
    audience:
      '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/provider',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: `${kms.endpoint}${stsPath}`,
    credential_source: { file: join(folder, 'token') },
    ...more,
  };
  await writeFile(path, JSON.stringify(config));
  return path;
}

test('a federated workload is let in, as itself and as a service account', async (t) => {
  const kms = await startTestCloudKms(t);
  for (const more of [{}, { service_account_impersonation_url: `${kms.endpoint}${impersonationPath}` }]) {
    const credentialsFile = await federation(t, kms, testSubjectToken, more);
    const provider = create(t, kms, { credentialsFile });
    const ciphertext = await encrypt(provider, 'dek');
    assert.equal(await decrypt(provider, ciphertext, versionName(1)), 'dek');
  }
  assert.deepEqual(kms.problems, []);
});

test('a federated workload that Google does not know is told so', async (t) => {
  const kms = await startTestCloudKms(t);
  const credentialsFile = await federation(t, kms, 'never shown', {});
  await assert.rejects(
    encrypt(create(t, kms, { credentialsFile }), 'dek'),
    failing('denied', /workload identity pool/),
  );
  kms.refuseImpersonation = true;
  const impersonating = await federation(t, kms, testSubjectToken, {
    service_account_impersonation_url: `${kms.endpoint}${impersonationPath}`,
  });
  await assert.rejects(
    encrypt(create(t, kms, { credentialsFile: impersonating }), 'dek'),
    failing('denied', /serviceAccountTokenCreator/),
  );
});

test('a reload that fails leaves everything as it was', async (t) => {
  const kms = await startTestCloudKms(t);
  const provider = await created(t, kms);
  await writeFile(kms.credentialsFile, 'nothing');
  await assert.rejects(provider.reload(), ProviderError);
  await encrypt(provider, 'dek');
});

test("Google's client prints no DEK and no token, however much it is told to print", async (t) => {
  const kms = await startTestCloudKms(t);
  const program = `
    const { createGcpProvider } = await import(${JSON.stringify(new URL('gcp.js', import.meta.url).href)});
    const { GCP_KEY: key, GCP_ENDPOINT: endpoint, GCP_FILE: credentialsFile } = process.env;
    const provider = createGcpProvider({ key, endpoint, credentialsFile });
    const signal = new AbortController().signal;
    const { ciphertext } = await provider.encrypt(provider.snapshot(), Buffer.from('secret-dek'), signal);
    const opened = await provider.decrypt({ ciphertext, version: 'v1', annotations: {} }, signal);
    process.stdout.write('opened ' + opened.length);
    await provider.close();`;
  const run = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], {
    env: {
      ...process.env,
      GOOGLE_SDK_NODE_LOGGING: '*',
      GCP_KEY: testGcpKey,
      GCP_ENDPOINT: kms.endpoint,
      GCP_FILE: kms.credentialsFile,
    },
  });
  assert.equal(run.stdout, 'opened 10');
  assert.doesNotMatch(run.stderr, /secret-dek|c2VjcmV0LWRlaw|Bearer|Buffer|115, *101, *99/);
});

test('options that cannot be used are refused at once', () => {
  const refused: readonly Partial<GcpProviderOptions>[] = [
    { key: 'cluster' },
    { key: '' },
    { key: `${testGcpKey}/` },
    { key: `${testGcpKey}/cryptoKeyVersions/0` },
    { key: `/${testGcpKey}` },
    { decryptKeys: ['other'] },
    { keyIdSuffix: '' },
    { keyIdSuffix: 'a/b' },
    { keyIdSuffix: 'a b' },
    { endpoint: 'http://kms.example.com' },
    { endpoint: 'cloudkms.googleapis.com' },
    { additionalAuthenticatedData: 'x'.repeat(1025) },
  ];
  for (const options of refused) {
    assert.throws(
      () => createGcpProvider({ key: testGcpKey, ...options }),
      (error) => error instanceof KmsPluginError && error.code === 'invalid_options',
      JSON.stringify(options),
    );
  }
});
