/**
 * Goal: no plaintext byte of a key, of what was encrypted, or of a credential lies anywhere it does not belong: not in the data
 * directory, a backup, the log, the metrics, the audit trail; and no plaintext in any string of the process's memory.
 * Method: the real `waxseal kms serve` gets material the test knows, by every door and also in requests that fail; then
 * everything it wrote, and a heap snapshot of the live process, is searched for each marker in every encoding.
 */
import assert from 'node:assert/strict';
import {
  constants,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import { appendFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import * as sdk from '@aws-sdk/client-kms';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { succeed, tool } from '../support/programs.js';
import { launcher, startWaxsealUnder, temporaryFolder } from '../support/waxseal.js';

interface KmsReady {
  readonly endpoint: string;
  readonly caFile: string;
  readonly healthEndpoint: string;
}

const REGION = 'eu-central-1';
const ACCOUNT = '123456789012';
const ROLE = `arn:aws:iam::${ACCOUNT}:role/deployer`;

/** Files whose purpose is to hold a credential, relative to the data directory; each is 0600. */
const CREDENTIAL_FILES = /^(pki\/[\w-]+\.key|key-service\/root\.key)$/;

interface Marker {
  readonly what: string;
  readonly forms: readonly string[];
}

/** As raw bytes, hexadecimal, base64 and base64url at any alignment. */
function marker(what: string, bytes: Uint8Array): Marker {
  assert.ok(bytes.length >= 16, `${what} is too short to be told from chance`);
  const raw = Buffer.from(bytes);
  const encoded = (encoding: 'base64' | 'base64url') =>
    // The inner characters do not depend on what stands before and after them, only on the alignment.
    [0, 1, 2].map((shift) =>
      Buffer.concat([Buffer.alloc(shift), raw])
        .toString(encoding)
        .slice(4, -4),
    );
  const hex = raw.toString('hex');
  return {
    what,
    forms: [
      ...new Set([
        raw.toString('latin1'),
        hex,
        hex.toUpperCase(),
        ...encoded('base64'),
        ...encoded('base64url'),
      ]),
    ],
  };
}

/** @param text as latin1, so that raw bytes are found too */
const search = (place: string, text: string, markers: readonly Marker[]): string[] =>
  markers
    .filter(({ forms }) => forms.some((form) => text.includes(form)))
    .map(({ what }) => `${what} in ${place}`);

/** The secret number of a PKCS#8 private key, without its public part. */
function secretNumber(pkcs8: Uint8Array): Buffer {
  const jwk = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' }).export({
    format: 'jwk',
  });
  return Buffer.from(String(jwk.d), 'base64url');
}

const newPkcs8 = (): Buffer =>
  generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { format: 'der', type: 'pkcs8' },
    publicKeyEncoding: { format: 'der', type: 'spki' },
  }).privateKey;

/** Sends a body no SDK would, signed. */
function withBody(client: sdk.KMSClient, body: string): sdk.KMSClient {
  client.middlewareStack.add(
    (next) => async (args) => {
      const request = args.request as { body: unknown; headers: Record<string, string> };
      request.body = body;
      request.headers['content-length'] = String(Buffer.byteLength(body));
      return next(args);
    },
    { step: 'build', name: 'withBody', priority: 'low' },
  );
  return client;
}

/** Every string in the memory of the process, each after the collection of garbage that a snapshot begins with. */
async function heapStrings(pid: number, folder: string): Promise<string> {
  const before = new Set(await readdir(folder));
  process.kill(pid, 'SIGUSR2');
  for (;;) {
    await sleep(50);
    const name = (await readdir(folder)).find((file) => file.endsWith('.heapsnapshot') && !before.has(file));
    if (name === undefined) continue;
    const text = await readFile(join(folder, name), 'utf8');
    if (!text.trimEnd().endsWith(']}')) continue;
    const { strings } = JSON.parse(text) as { strings: readonly string[] };
    return strings.join('\n');
  }
}

test('key material that is known to the test is found nowhere', async (t) => {
  const folder = await temporaryFolder(t);
  const dataDir = join(folder, 'data');
  const snapshots = join(folder, 'snapshots');
  await mkdir(snapshots);

  // Doors of the start: access keys and fixed keys.
  const accessKey = { id: 'AKIAMARKERS000000001', secret: randomBytes(30).toString('base64') };
  const seeds = { aes: randomBytes(32), hmac: randomBytes(32), ec: newPkcs8() };
  const id = (digit: number): string => `1234abcd-12ab-34cd-56ef-00000000000${digit}`;
  const config = {
    accounts: [
      {
        id: ACCOUNT,
        users: [{ name: 'admin', accessKeys: [accessKey], policies: ['AdministratorAccess'] }],
        roles: [
          {
            name: 'deployer',
            trustPolicy: {
              Version: '2012-10-17',
              Statement: [{ Effect: 'Allow', Principal: { AWS: ACCOUNT }, Action: 'sts:AssumeRole' }],
            },
            policies: ['AdministratorAccess'],
          },
        ],
        keys: [
          { region: REGION, keyId: id(1), alias: 'alias/aes', material: seeds.aes.toString('base64') },
          { region: REGION, keyId: id(2), spec: 'HMAC_256', material: seeds.hmac.toString('base64') },
          {
            region: REGION,
            keyId: id(3),
            spec: 'ECC_NIST_P256',
            usage: 'SIGN_VERIFY',
            material: seeds.ec.toString('base64'),
          },
        ],
      },
    ],
  };
  const configFile = join(folder, 'config.yaml');
  // Secrets as people write them, without quotes: a parser may then keep the whole text for the sake of one of them.
  const yaml = JSON.stringify(config, undefined, 2).replaceAll(/"(secret|material)": "(.+)"/g, '"$1": $2');
  await writeFile(configFile, yaml);

  const nodeOptions = [
    '--heapsnapshot-signal=SIGUSR2',
    '--heap-snapshot-string-limit=10000000',
    `--diagnostic-dir=${snapshots}`,
  ];
  const files = ['--data-dir', dataDir, '--config', configFile, '--allow-plaintext-seeds'];
  const ports = ['--port', '0', '--health-port', '0'];
  const command = ['kms', 'serve', ...files, ...ports, '--log-level', 'debug'];
  const kms = await startWaxsealUnder<KmsReady>(nodeOptions, ...command);
  t.after(() => kms.stop());
  const { endpoint, caFile, healthEndpoint } = kms.ready;
  const httpsAgent = new Agent({ keepAlive: true, ca: await readFile(caFile) });
  t.after(() => httpsAgent.destroy());
  const clientOf = (credentials: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  }): sdk.KMSClient =>
    new sdk.KMSClient({
      region: REGION,
      endpoint,
      credentials,
      maxAttempts: 1,
      requestHandler: new NodeHttpHandler({ httpsAgent }),
    });
  const admin = { accessKeyId: accessKey.id, secretAccessKey: accessKey.secret };
  const client = clientOf(admin);

  // Plaintexts that pass through.
  const planted = new Map<string, Uint8Array>();
  const plant = <Bytes extends Uint8Array>(what: string, bytes: Bytes): Bytes => {
    planted.set(what, bytes);
    return bytes;
  };
  const aes = { KeyId: 'alias/aes' };
  const EncryptionContext = { App: 'shop' };
  const encrypted = await client.send(
    new sdk.EncryptCommand({
      ...aes,
      EncryptionContext,
      Plaintext: plant('the plaintext of Encrypt', randomBytes(48)),
    }),
  );
  const text = plant(
    'a text given to Encrypt',
    Buffer.from(`marker-${randomBytes(12).toString('hex')}-${'x'.repeat(3000)}`),
  );
  await client.send(new sdk.EncryptCommand({ ...aes, Plaintext: text }));
  const { CiphertextBlob } = encrypted;
  await client.send(new sdk.DecryptCommand({ CiphertextBlob, EncryptionContext }));
  await client.send(new sdk.RotateKeyOnDemandCommand({ KeyId: id(1) }));
  await client.send(
    new sdk.ReEncryptCommand({
      CiphertextBlob,
      SourceEncryptionContext: EncryptionContext,
      DestinationKeyId: 'alias/aes',
    }),
  );
  const dataKey = await client.send(new sdk.GenerateDataKeyCommand({ ...aes, KeySpec: 'AES_256' }));
  plant('the data key', dataKey.Plaintext ?? Buffer.alloc(0));
  const pair = await client.send(
    new sdk.GenerateDataKeyPairCommand({ ...aes, KeyPairSpec: 'ECC_NIST_P256' }),
  );
  plant('the private key of the data key pair', secretNumber(pair.PrivateKeyPlaintext ?? Buffer.alloc(0)));
  const random = await client.send(new sdk.GenerateRandomCommand({ NumberOfBytes: 64 }));
  plant('random bytes', random.Plaintext ?? Buffer.alloc(0));
  await client.send(
    new sdk.GenerateMacCommand({
      KeyId: id(2),
      MacAlgorithm: 'HMAC_SHA_256',
      Message: plant('the message of GenerateMac', randomBytes(48)),
    }),
  );
  await client.send(
    new sdk.SignCommand({
      KeyId: id(3),
      SigningAlgorithm: 'ECDSA_SHA_256',
      Message: plant('the message of Sign', randomBytes(48)),
    }),
  );
  const agreement = await client.send(
    new sdk.CreateKeyCommand({ KeySpec: 'ECC_NIST_P256', KeyUsage: 'KEY_AGREEMENT' }),
  );
  const derived = await client.send(
    new sdk.DeriveSharedSecretCommand({
      KeyId: agreement.KeyMetadata?.KeyId,
      KeyAgreementAlgorithm: 'ECDH',
      PublicKey: (
        await client.send(new sdk.GenerateDataKeyPairCommand({ ...aes, KeyPairSpec: 'ECC_NIST_P256' }))
      ).PublicKey,
    }),
  );
  plant('the derived secret', derived.SharedSecret ?? Buffer.alloc(0));

  // Imported material.
  const external = await client.send(new sdk.CreateKeyCommand({ Origin: 'EXTERNAL' }));
  const KeyId = external.KeyMetadata?.KeyId ?? '';
  const imported = plant('imported material', randomBytes(32));
  const parameters = await client.send(
    new sdk.GetParametersForImportCommand({
      KeyId,
      WrappingAlgorithm: 'RSAES_OAEP_SHA_256',
      WrappingKeySpec: 'RSA_2048',
    }),
  );
  const EncryptedKeyMaterial = publicEncrypt(
    {
      key: createPublicKey({ key: Buffer.from(parameters.PublicKey ?? []), format: 'der', type: 'spki' }),
      padding: constants.RSA_PKCS1_OAEP_PADDING,
      oaepHash: 'sha256',
    },
    imported,
  );
  const { ImportToken } = parameters;
  const ExpirationModel = 'KEY_MATERIAL_DOES_NOT_EXPIRE';
  await client.send(
    new sdk.ImportKeyMaterialCommand({ KeyId, ImportToken, EncryptedKeyMaterial, ExpirationModel }),
  );
  await client.send(new sdk.EncryptCommand({ KeyId, Plaintext: imported }));

  // Sessions.
  const aws = async (...args: readonly string[]): Promise<sdk.KMSClient> => {
    const stdout = await succeed(
      tool('aws'),
      ['--endpoint-url', endpoint, '--ca-bundle', caFile, '--region', REGION, '--output', 'json', ...args],
      {
        env: {
          AWS_ACCESS_KEY_ID: accessKey.id,
          AWS_SECRET_ACCESS_KEY: accessKey.secret,
          AWS_EC2_METADATA_DISABLED: 'true',
        },
      },
    );
    const { Credentials } = JSON.parse(stdout) as {
      Credentials: { AccessKeyId: string; SecretAccessKey: string; SessionToken: string };
    };
    credentials.push(Credentials.SecretAccessKey, Credentials.SessionToken);
    return clientOf({
      accessKeyId: Credentials.AccessKeyId,
      secretAccessKey: Credentials.SecretAccessKey,
      sessionToken: Credentials.SessionToken,
    });
  };
  const credentials = [accessKey.secret];
  const session = await aws('sts', 'assume-role', '--role-arn', ROLE, '--role-session-name', 'markers');
  await session.send(
    new sdk.EncryptCommand({ ...aes, Plaintext: plant('the plaintext of a session', randomBytes(48)) }),
  );

  // Requests that fail with a marker in them: neither the answer nor anything else repeats it.
  const answers: string[] = [];
  const refused = plant(
    'a plaintext that was refused',
    Buffer.from(`refused-${randomBytes(16).toString('hex')}`),
  );
  const base64 = refused.toString('base64');
  const fail = async (call: Promise<unknown>): Promise<void> => {
    const error: unknown = await call.then(
      () => assert.fail('the call was not refused'),
      (thrown: unknown) => thrown,
    );
    answers.push(JSON.stringify(error), String(error));
  };
  const encryptBody = (body: string): Promise<unknown> =>
    withBody(clientOf(admin), body).send(new sdk.EncryptCommand({ ...aes, Plaintext: refused }));
  await fail(encryptBody(`{"KeyId":"alias/aes","Plaintext":"${base64}`));
  await fail(encryptBody(`{"KeyId":"alias/aes","Plaintext":"${refused.toString()}!"}`));
  await fail(encryptBody(`{"KeyId":"alias/aes","Plaintext":["${base64}"]}`));
  await fail(encryptBody(`{"KeyId":"alias/aes","Plaintext":{"${base64}":"${base64}"}}`));
  await fail(
    encryptBody(
      `{"KeyId":"alias/aes","Plaintext":"${Buffer.concat([refused, Buffer.alloc(5000)]).toString('base64')}"}`,
    ),
  );
  await fail(encryptBody(`{"Plaintext":"${base64}"}`));
  await fail(encryptBody(base64));
  await fail(client.send(new sdk.EncryptCommand({ KeyId: 'alias/none', Plaintext: refused })));
  await fail(client.send(new sdk.EncryptCommand({ KeyId: id(2), Plaintext: refused })));
  await fail(client.send(new sdk.EncryptCommand({ ...aes, Plaintext: refused, DryRun: true })));
  await fail(
    clientOf({ ...admin, secretAccessKey: 'x'.repeat(40) }).send(
      new sdk.EncryptCommand({ ...aes, Plaintext: refused }),
    ),
  );
  await fail(client.send(new sdk.DecryptCommand({ CiphertextBlob, EncryptionContext: { App: 'other' } })));
  await fail(client.send(new sdk.DecryptCommand({ CiphertextBlob: refused })));
  const importing = { KeyId, EncryptedKeyMaterial, ExpirationModel } as const;
  await fail(client.send(new sdk.ImportKeyMaterialCommand({ ...importing, ImportToken: refused })));
  await fail(
    client.send(
      new sdk.ImportKeyMaterialCommand({ ...importing, ImportToken, EncryptedKeyMaterial: refused }),
    ),
  );
  const password = plant('the password of a key store', Buffer.from(randomBytes(12).toString('hex')));
  await fail(
    client.send(
      new sdk.CreateCustomKeyStoreCommand({
        CustomKeyStoreName: 'none',
        CloudHsmClusterId: 'cluster-1a23b4cdefg',
        KeyStorePassword: password.toString(),
        TrustAnchorCertificate: 'none',
      }),
    ),
  );
  assert.equal((await fetch(`${healthEndpoint}/${base64}`)).status, 404);

  // The configuration file is read again, with everything that is in it.
  await appendFile(configFile, '\n# changed\n');
  kms.child.kill('SIGHUP');
  while (!kms.log().includes('the configuration file has changed')) await sleep(20);

  const backup = join(folder, 'keys.backup');
  await succeed(process.execPath, [launcher, 'kms', 'backup', backup, '--data-dir', dataDir]);
  const metrics = await (await fetch(`${healthEndpoint}/metrics`)).text();
  const heap = await heapStrings(kms.child.pid ?? 0, snapshots);
  // The session still works: its connection and everything behind it were alive in the snapshot.
  await session.send(new sdk.DescribeKeyCommand({ KeyId }));
  await client.send(new sdk.DeleteImportedKeyMaterialCommand({ KeyId }));
  await client.send(new sdk.ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
  const rootKey = (await readFile(join(dataDir, 'key-service/root.key'), 'utf8')).trim().split(':')[1] ?? '';
  assert.equal(await kms.stop(), 0);

  const plaintexts = [
    ...[...planted].map(([what, bytes]) => marker(what, bytes)),
    marker('the start of a long text', text.subarray(0, 31)),
    marker('a fixed AES key', seeds.aes),
    marker('a fixed HMAC key', seeds.hmac),
    marker('a fixed private key', secretNumber(seeds.ec)),
    marker('the root key', Buffer.from(rootKey, 'base64')),
  ];
  const secrets = credentials.map((secret) => marker('a credential', Buffer.from(secret)));
  const everywhere = [...plaintexts, ...secrets];

  const found = [
    ...search('the heap', heap, plaintexts),
    ...search('the log', kms.log(), everywhere),
    ...search('the metrics', metrics, everywhere),
    ...search('the backup', (await readFile(backup)).toString('latin1'), everywhere),
    ...answers.flatMap((answer) => search(`the answer ${answer.slice(0, 300)}`, answer, everywhere)),
  ];
  const searched: string[] = [];
  for (const entry of await readdir(dataDir, { recursive: true, withFileTypes: true })) {
    const file = relative(dataDir, join(entry.parentPath, entry.name));
    if (!entry.isFile() || CREDENTIAL_FILES.test(file)) continue;
    searched.push(file);
    const content = await readFile(join(dataDir, file));
    const plain = file.endsWith('.gz') ? gunzipSync(content) : content;
    found.push(...search(file, plain.toString('latin1'), everywhere));
  }
  assert.deepEqual(found, []);

  // The search can find, and it searched what it should have.
  assert.deepEqual(search('', await readFile(configFile, 'latin1'), [plaintexts.at(-4) as Marker]), [
    'a fixed AES key in ',
  ]);
  // Signatures are verified with the secrets of access keys, so these are in memory, and only there.
  assert.ok(search('the heap', heap, secrets).length > 0, 'the snapshot holds the strings of the service');
  assert.ok(searched.includes('key-service/store/data.mdb'), searched.join());
  assert.ok(
    searched.some((file) => /audit\/AWSLogs\/.*\/CloudTrail-Digest\//.test(file)),
    searched.join(),
  );
  assert.ok(
    searched.some((file) => /audit\/AWSLogs\/.*\/CloudTrail\//.test(file)),
    searched.join(),
  );
});
