/**
 * Goal: a person imports key material from files, into a running service and into a stopped one, and is told what is wrong with a
 * file. Method: the real command; what was imported is compared with what it signs, MACs and decrypts.
 */
import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, randomBytes, verify } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { GenerateMacCommand, KMSClient, SignCommand } from '@aws-sdk/client-kms';
import { serveKms, waxseal } from '../testing/command.js';

let root = '';
let dataDir = '';

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'waxseal-import-'));
  dataDir = join(root, 'data');
});
after(() => rm(root, { recursive: true, force: true }));

const key = (args: readonly string[], input?: Buffer) =>
  waxseal(['kms', 'key', ...args, '--data-dir', dataDir], input === undefined ? {} : { input });

function json(args: readonly string[], input?: Buffer): Record<string, unknown> {
  const { status, stdout, stderr } = key([...args, '--output', 'json'], input);
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as Record<string, unknown>;
}

function refused(args: readonly string[], message: RegExp): void {
  const { status, stderr } = key(args);
  assert.match(stderr, message);
  assert.notEqual(status, 0);
}

async function file(name: string, content: string | Buffer): Promise<string> {
  const path = join(root, name);
  await writeFile(path, content);
  return path;
}

/** A client as the administrator of the data directory. */
async function client(endpoint: string, caFile: string): Promise<KMSClient> {
  const credentials = await readFile(join(dataDir, 'aws-credentials'), 'utf8');
  const setting = (name: string): string => new RegExp(`${name} = (\\S+)`).exec(credentials)?.[1] ?? '';
  return new KMSClient({
    endpoint,
    region: 'us-east-1',
    credentials: {
      accessKeyId: setting('aws_access_key_id'),
      secretAccessKey: setting('aws_secret_access_key'),
    },
    requestHandler: { httpsAgent: { ca: await readFile(caFile) } },
  });
}

test('into a running service: PKCS#8 PEM and DER, PKCS#1, SEC 1, and raw bytes', async (t) => {
  const served = await serveKms(['--data-dir', dataDir]);
  t.after(() => served.stop());
  const kms = await client(served.ready.endpoint, served.ready.caFile);
  t.after(() => kms.destroy());
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const forms = [
    ['rsa-pem', 'RSA_2048', rsa, { type: 'pkcs8', format: 'pem' }],
    ['rsa-der', 'RSA_2048', rsa, { type: 'pkcs8', format: 'der' }],
    ['rsa-pkcs1', 'RSA_2048', rsa, { type: 'pkcs1', format: 'pem' }],
    ['ec-sec1', 'ECC_NIST_P256', ec, { type: 'sec1', format: 'pem' }],
  ] as const;
  for (const [name, spec, { privateKey, publicKey }, form] of forms) {
    json(['create', '--alias', name, '--spec', spec, '--usage', 'SIGN_VERIFY', '--origin', 'EXTERNAL']);
    // The encodings' types differ by kind of key; each of these pairs is one that node:crypto knows.
    const path = await file(name, privateKey.export(form as { type: 'pkcs8'; format: 'pem' }));
    assert.equal(json(['import', `alias/${name}`, path])['state'], 'Enabled');
    const { Signature } = await kms.send(
      new SignCommand({
        KeyId: `alias/${name}`,
        Message: Buffer.from('signed'),
        SigningAlgorithm: spec === 'RSA_2048' ? 'RSASSA_PKCS1_V1_5_SHA_256' : 'ECDSA_SHA_256',
      }),
    );
    assert.ok(verify('sha256', Buffer.from('signed'), publicKey, Signature ?? Buffer.alloc(0)), name);
  }

  const material = randomBytes(48);
  json([
    'create',
    '--alias',
    'mac',
    '--spec',
    'HMAC_384',
    '--origin',
    'EXTERNAL',
    '--usage',
    'GENERATE_VERIFY_MAC',
  ]);
  json(['import', 'alias/mac', await file('mac', material)]);
  const { Mac } = await kms.send(
    new GenerateMacCommand({ KeyId: 'alias/mac', Message: Buffer.from('m'), MacAlgorithm: 'HMAC_SHA_384' }),
  );
  assert.deepEqual(Buffer.from(Mac ?? []), createHmac('sha384', material).update('m').digest());
});

test('into a stopped service: expiry, the same again, further material by standard input', async () => {
  const material = randomBytes(32);
  const path = await file('app.key', material);
  assert.equal(json(['create', '--alias', 'app', '--origin', 'EXTERNAL'])['state'], 'PendingImport');
  refused(
    ['import', 'alias/app', path, '--new-material'],
    /has no key material yet.*\n {2}Leave out --new-material/,
  );
  const imported = json(['import', 'alias/app', path, '--expires', '90d']);
  assert.equal(imported['state'], 'Enabled');
  assert.equal(json(['show', 'alias/app'])['expires'], imported['validTo']);
  json(['import', 'alias/app', path]);
  assert.equal(json(['show', 'alias/app'])['expires'], undefined);
  refused(
    ['import', 'alias/app', await file('other', randomBytes(32))],
    /IncorrectKeyMaterialException.*\n {2}.*--new-material/,
  );
  const second = json(['import', 'alias/app', '-', '--new-material'], randomBytes(32));
  assert.notEqual(second['keyMaterialId'], imported['keyMaterialId']);
  json(['rotate', 'alias/app']);
});

test('what cannot be imported is told by what it looks like', async () => {
  json(['create', '--alias', 'wait', '--origin', 'EXTERNAL']);
  const raw = randomBytes(32);
  const at = (name: string, content: string | Buffer) => file(name, content);
  const cases: readonly (readonly [string, RegExp])[] = [
    [await at('k.b64', raw.toString('base64')), /is 32 raw bytes\n {2}It looks like base64/],
    [await at('k.hex', raw.toString('hex')), /64 bytes; .*\n {2}It looks like hexadecimal/],
    [await at('empty', ''), /0 bytes; .*\n {2}Make one with: openssl rand/],
    [await at('large', Buffer.alloc(20_000)), /larger than 16384 bytes/],
    ['/dev/zero', /larger than 16384 bytes/],
    [join(root, 'absent'), /does not exist/],
    [root, /That is a folder/],
  ];
  for (const [path, message] of cases) refused(['import', 'alias/wait', path], message);
  refused(['import', 'alias/wait', 'x', '--expires', '2020-13-45'], /Expected a date/);
  refused(['create', '--alias', 'no.dots'], /cannot be an alias/);
  refused(['create', '--alias', 'wait'], /alias\/wait is the alias of/);
  json(['create', '--alias', 'own']);
  refused(['import', 'alias/own', await at('k', raw)], /has key material of its own .*\n.*--origin EXTERNAL/);

  json([
    'create',
    '--alias',
    'pem',
    '--spec',
    'ECC_NIST_P256',
    '--usage',
    'SIGN_VERIFY',
    '--origin',
    'EXTERNAL',
  ]);
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const locked = privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' });
  const pem = (name: string, content: string | Buffer, message: RegExp) =>
    at(name, content).then((path) => refused(['import', 'alias/pem', path], message));
  await pem('locked.pem', locked, /holds ENCRYPTED PRIVATE KEY.*\n {2}Convert it first/);
  await pem(
    'public.pem',
    publicKey.export({ type: 'spki', format: 'pem' }),
    /holds PUBLIC KEY.*\n {2}Name the file/,
  );
  await pem('raw', raw, /is not a private key|IncorrectKeyMaterial/);
});
