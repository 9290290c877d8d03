/**
 * Goal: the flags of aws-encryption-provider's published manifest start our plugin unchanged, and its values, key ids, version and metrics
 * are that plugin's. Method: the real command against a real key service that speaks AWS's protocol.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { connectKmsV1 } from '@waxseal/kms-api';
import { serveKms, waxseal } from '../testing/command.js';
import { startPluginProcess } from '../testing/plugin-process.js';

let root = '';
let service: Awaited<ReturnType<typeof serveKms>>;
const keys: string[] = [];

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'waxseal-cli-aws-'));
  const dataDir = join(root, 'data');
  service = await serveKms(['--data-dir', dataDir]);
  for (let i = 0; i < 2; i++) {
    const made = waxseal(['kms', 'key', 'create', '--data-dir', dataDir, '--output', 'json']);
    assert.equal(made.status, 0, made.stderr);
    keys.push(arnIn(JSON.parse(made.stdout)));
  }
});
after(async () => {
  await service.stop();
  await rm(root, { recursive: true, force: true });
});

function arnIn(answer: unknown): string {
  const arn = /"(arn:aws:kms:[^"]+:key\/[^"]+)"/.exec(JSON.stringify(answer))?.[1];
  assert.ok(arn !== undefined);
  return arn;
}

/** What only a key service of one's own needs; everything else is the manifest's. */
const connection = (): readonly string[] => [
  '--kms-endpoint',
  service.ready.endpoint,
  '--ca-file',
  service.ready.caFile,
  '--credentials-file',
  service.ready.credentialsFile,
];

/** A free port in the form the manifest has it. */
async function healthPort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return `:${port}`;
}

test('the flags of the published manifest start it: prefix, key id, version and both metrics as there', async (t) => {
  const [key = ''] = keys;
  const socket = join(root, 'socket.sock');
  const plugin = await startPluginProcess(t, [
    'aws',
    `--key=${key}`,
    '--region=us-east-1',
    `--listen=${socket}`,
    `--health-port=${await healthPort()}`,
    '--healthz-path=/deep',
    '--livez-path=/alive',
    '--qps-limit=100',
    '--burst-limit=200',
    '--retry-token-capacity=50',
    '--health-kms-version=v2',
    '--encryption-context=cluster=prod,team=a',
    '--debug',
    ...connection(),
  ]);
  const client = plugin.client(socket);
  assert.deepEqual(await client.status(), { version: 'v2beta1', healthz: 'ok', keyId: key });
  const sealed = await client.encrypt('u', Buffer.from('dek'));
  assert.equal(sealed.keyId, key);
  assert.equal(sealed.ciphertext[0], 0x31);
  assert.deepEqual(sealed.annotations, {});
  assert.equal((await client.decrypt('u', sealed)).toString(), 'dek');
  const bare = sealed.ciphertext.subarray(1);
  const v1 = connectKmsV1({ endpoint: socket });
  t.after(() => {
    v1.close();
  });
  assert.equal((await v1.decrypt(bare)).toString(), 'dek', 'v1 reads without the prefix');
  await assert.rejects(client.decrypt('u', { ...sealed, ciphertext: bare }), /cannot be decrypted/);
  assert.equal((await plugin.health('/alive')).status, 200);
  assert.deepEqual(await plugin.health('/deep'), {
    status: 200,
    body: '[+]aws encrypt ok\n[+]aws decrypt ok\n',
  });
  const { body } = await plugin.health('/metrics');
  const labels = (status: string, operation: string, version: string): string =>
    `{key_arn="${key}",status="${status}",operation="${operation}",version="${version}"} 1\n`;
  for (const [status, operation, version] of [
    ['success', 'encrypt', 'v2'],
    ['success', 'decrypt', 'v2'],
    ['failure', 'decrypt', 'v2'],
    ['success', 'decrypt', 'v1'],
  ] as const) {
    assert.ok(
      body.includes(`aws_encryption_provider_kms_operations_total${labels(status, operation, version)}`),
      body,
    );
  }
  assert.match(body, /aws_encryption_provider_kms_operation_latency_ms_bucket\{le="16384",key_arn=/);
});

test('keys and sockets pair by their place, each key with its own context; values of other keys are refused', async (t) => {
  const [one = '', two = ''] = keys;
  const sockets = [join(root, 'one.sock'), join(root, 'two.sock')] as const;
  const plugin = await startPluginProcess(t, [
    'aws',
    `--key=${one},${two}`,
    `--listen=${sockets[0]}`,
    '--listen',
    sockets[1],
    '--encryption-context=[a=1]',
    '--encryption-context',
    'b=2',
    '--health-port=0',
    '--kms-versions=v1:v2,v2',
    '--decrypt-key',
    two,
    '--decrypt-key',
    one,
    ...connection(),
  ]);
  const [a, b] = sockets.map((socket) => plugin.client(socket)) as [
    ReturnType<typeof plugin.client>,
    ReturnType<typeof plugin.client>,
  ];
  assert.deepEqual([(await a.status()).keyId, (await b.status()).keyId], [one, two]);
  const sealed = await a.encrypt('u', Buffer.from('dek'));
  assert.equal((await a.decrypt('u', sealed)).toString(), 'dek');
  await assert.rejects(b.decrypt('u', sealed), /InvalidCiphertextException/, 'another context');
  assert.match((await plugin.health('/readyz')).body, /\[\+\]aws encrypt ok\n.*\n\[\+\]aws-2 encrypt ok/);
  assert.equal(await plugin.stop(), 0);

  const pinned = await startPluginProcess(t, [
    'aws',
    '--key',
    one,
    `--listen=${sockets[0]}`,
    '--encryption-context=a=1',
    '--health-port=0',
    '--decrypt-key',
    two,
    ...connection(),
  ]);
  await assert.rejects(
    pinned.client(sockets[0]).decrypt('u', sealed),
    /not on the list of keys to decrypt with/,
  );
});

for (const [args, reason] of [
  [['--key', 'a,b', '--listen', '/x'], /2 --key and 1 --listen/],
  [['--key', 'a,'], /without gaps/],
  [
    ['--key', 'a', '--encryption-context', 'a=1', '--encryption-context', 'b=2'],
    /1 --key and 2 --encryption-context/,
  ],
  [['--key', 'a', '--encryption-context', 'a'], /not name=value/],
  [['--key', 'a', '--health-port', ':99999'], /Expected a port/],
  [['--key', 'a', '--kms-versions', 'v3'], /Write v1, v2 or v1:v2/],
  [['--key', 'a', '--health-kms-version', 'v3'], /Allowed choices are v1, v2/],
  [
    ['--key', 'a', '--kms-versions', 'v2', '--health-kms-version', 'v1'],
    /--health-kms-version v1, which --kms-versions does not serve/,
  ],
  [['--key', 'a', '--qps-limit', 'many'], /whole number/],
] as const) {
  test(`waxseal plugin aws ${args.join(' ')} is a usage error`, () => {
    const { status, stderr } = waxseal(['plugin', 'aws', ...args]);
    assert.equal(status, 2, stderr);
    assert.match(stderr, reason);
  });
}
