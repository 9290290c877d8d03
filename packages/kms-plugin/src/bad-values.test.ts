/**
 * Values that a plugin did not make, through the socket of every provider: each is refused with INVALID_ARGUMENT or FAILED_PRECONDITION and a
 * safe sentence, counted, and says nothing against the key. The conformance kit then holds for each of them.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Registry } from 'prom-client';
import { openGrpcConnection } from './conformance/grpc-connection.js';
import { createKmsCalls, expectAnswer, type KmsCalls, type Sealed } from './conformance/kms-calls.js';
import { runConformance } from './conformance/run.js';
import { startPlugin } from './plugin.js';
import { everyProvider, type CreateProvider } from './testing/every-provider.js';
import { tempFolder } from './testing/temp-folder.js';

const invalidArgument = 3;
const failedPrecondition = 9;

interface Served {
  readonly socket: string;
  readonly calls: KmsCalls;
  readonly registry: Registry;
}

async function served(t: TestContext, create: CreateProvider): Promise<Served> {
  const socket = join(await tempFolder(t), 'kms.sock');
  const registry = new Registry();
  const plugin = await startPlugin({ listen: socket, provider: await create(t), registry });
  const calls = createKmsCalls(openGrpcConnection(socket), 10_000);
  t.after(async () => {
    calls.close();
    await plugin.close();
  });
  assert.equal(expectAnswer('Status', await calls.status()).healthz, 'ok');
  return { socket, calls, registry };
}

/** How often Decrypt of v2 ended with one of the two codes. */
async function refusals(registry: Registry): Promise<number> {
  const metric = await registry.getSingleMetric('waxseal_kms_plugin_requests_total')?.get();
  return (metric?.values ?? [])
    .filter(
      ({ labels }) =>
        labels['version'] === 'v2' &&
        labels['method'] === 'Decrypt' &&
        ['invalid_argument', 'failed_precondition'].includes(String(labels['code'])),
    )
    .reduce((sum, { value }) => sum + value, 0);
}

const firstByteChanged = (bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.from([bytes.readUInt8() ^ 0xff]), bytes.subarray(1)]);

for (const [name, create] of Object.entries(everyProvider)) {
  test(`${name}: what it did not make is refused, counted, and harms nothing`, async (t) => {
    const { calls, registry } = await served(t, create);
    const other = await served(t, create);
    const plaintext = randomBytes(32);
    const sealed: Sealed = expectAnswer('Encrypt', await calls.v2.encrypt(plaintext));
    const { ciphertext } = sealed;
    const strange: Sealed = expectAnswer('Encrypt', await other.calls.v2.encrypt(plaintext));

    const bad: Readonly<Record<string, Sealed>> = {
      'another first byte': { ...sealed, ciphertext: firstByteChanged(ciphertext) },
      'half of it': { ...sealed, ciphertext: ciphertext.subarray(0, ciphertext.length >> 1) },
      'one byte of it': { ...sealed, ciphertext: ciphertext.subarray(0, 1) },
      'all but its last byte': { ...sealed, ciphertext: ciphertext.subarray(0, -1) },
      'one byte more': { ...sealed, ciphertext: Buffer.concat([ciphertext, Buffer.from([0])]) },
      empty: { ...sealed, ciphertext: Buffer.alloc(0) },
      oversized: { ...sealed, ciphertext: randomBytes(1025) },
      random: { ...sealed, ciphertext: randomBytes(200) },
      "another plugin's": { ...sealed, ciphertext: Buffer.from('another:v1:AAAAAAAAAAAAAAAAAAAAAAAA') },
      'of another key': { ...sealed, ciphertext: strange.ciphertext },
      'of another key, with all that belongs to it': strange,
      'an empty key id': { ...sealed, keyId: '' },
      'an annotation without a domain name': { ...sealed, annotations: new Map([['x', Buffer.from('y')]]) },
    };
    const before = await refusals(registry);
    for (const [what, value] of Object.entries(bad)) {
      const outcome = await calls.v2.decrypt(value);
      assert.ok(!outcome.ok, `${what} opened`);
      assert.ok(
        outcome.code === invalidArgument || outcome.code === failedPrecondition,
        `${what}: ${outcome.said}`,
      );
      for (const encoding of ['base64', 'hex', 'latin1'] as const) {
        assert.ok(!outcome.said.includes(plaintext.toString(encoding)), what);
        assert.ok(
          value.ciphertext.length < 8 || !outcome.said.includes(value.ciphertext.toString(encoding)),
          what,
        );
      }
    }
    assert.equal((await refusals(registry)) - before, Object.keys(bad).length, 'each is counted');
    assert.equal(expectAnswer('Status', await calls.status()).healthz, 'ok');
    assert.deepEqual(expectAnswer('Decrypt', await calls.v2.decrypt(sealed)), plaintext);
  });

  test(`${name}: keeps the contract, by the conformance kit`, async (t) => {
    const { socket } = await served(t, create);
    const report = await runConformance({
      endpoint: socket,
      seed: name,
      inFlight: 16,
      loadMs: 100,
    });
    const broken = report.results.filter(
      ({ status }) => status.kind === 'failed' || status.kind === 'not-judged',
    );
    assert.deepEqual(broken, []);
    assert.equal(report.conforms, true);
  });
}
