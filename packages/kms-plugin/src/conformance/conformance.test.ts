/**
 * The conformance kit is worth what it finds: our plugin passes it, and plugins that are broken in one way each fail the check that is
 * meant for it, and no other.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { KmsPluginError } from '../errors.js';
import { startPlugin, type Plugin, type PluginOptions } from '../plugin.js';
import { createLocalProvider } from '../providers/local.js';
import { createKeyring } from '../providers/local-keyring.js';
import { macOf, openSealed, sealWith, startBrokenPlugin, type Behaviour } from '../testing/broken-plugins.js';
import { tempFolder } from '../testing/temp-folder.js';
import { conformanceChecks } from './checks.js';
import { runConformance, type CheckResult, type ConformanceOptions, type ConformanceReport } from './run.js';

/** Short where the kit is patient. */
const quick = { seed: 'test', hangMs: 5000, budgetMs: 2500, loadMs: 120, waitMs: 1500 };

const check = (endpoint: string, options: Partial<ConformanceOptions> = {}): Promise<ConformanceReport> =>
  runConformance({ endpoint, ...quick, ...options });

const idsOf = (report: ConformanceReport, kind: CheckResult['status']['kind']): readonly string[] =>
  report.results.filter(({ status }) => status.kind === kind).map((result) => result.check.id);

const trouble = (report: ConformanceReport): string =>
  report.results
    .filter(({ status }) => status.kind === 'failed' || status.kind === 'not-judged')
    .map((result) => `${result.check.id} ${JSON.stringify(result.status)}`)
    .join('\n');

async function localPlugin(
  t: TestContext,
  more: Partial<PluginOptions> = {},
): Promise<{ plugin: Plugin; socket: string; start: () => Promise<Plugin> }> {
  const folder = await tempFolder(t);
  const keyringFile = join(folder, 'keyring.json');
  await createKeyring(keyringFile);
  const socket = join(folder, 'kms.sock');
  const start = async (): Promise<Plugin> => {
    const plugin = await startPlugin({
      listen: socket,
      provider: await createLocalProvider({ keyringFile }),
      ...more,
    });
    t.after(() => plugin.close());
    return plugin;
  };
  return { plugin: await start(), socket, start };
}

const optional = ['outage.calls', 'outage.heals', 'outage.told', 'restart.status', 'restart.values'];

test('our plugin keeps the contract, and what was not tried is not counted as kept', async (t) => {
  const { socket } = await localPlugin(t);
  const report = await check(`unix://${socket}`);
  assert.equal(trouble(report), '');
  assert.equal(report.conforms, true);
  assert.deepEqual(report.served, ['v2', 'v1']);
  assert.deepEqual(idsOf(report, 'not-run').toSorted(), optional);
  assert.equal(idsOf(report, 'passed').length, conformanceChecks.length - optional.length);
});

test('a plugin of one version is checked for that one', async (t) => {
  for (const [version, other] of [
    ['v1', 'v2'],
    ['v2', 'v1'],
  ] as const) {
    const { socket } = await localPlugin(t, { versions: [version] });
    const report = await check(socket, { only: ['v1', 'v2', 'status', 'version', 'limits', 'connections'] });
    assert.equal(trouble(report), '');
    assert.deepEqual(report.served, [version]);
    assert.ok(idsOf(report, 'passed').includes(`${version}.round-trip`));
    assert.ok(idsOf(report, 'not-run').includes(`${other}.round-trip`));
  }
});

test('a restart is survived with values, key id and version', async (t) => {
  const { plugin, socket, start } = await localPlugin(t);
  let running = plugin;
  const restart = async (): Promise<void> => {
    await running.close();
    running = await start();
  };
  const report = await check(socket, { only: ['restart'], commands: { restart } });
  assert.equal(trouble(report), '');
  assert.deepEqual(idsOf(report, 'passed'), ['restart.values', 'restart.status']);
});

test('a plugin with a new key after its restart fails the checks of the restart', async (t) => {
  let keyId = 'key-1';
  let open: Behaviour['open'] = openSealed;
  const socket = await startBrokenPlugin(t, {
    status: () => ({ version: 'v2', healthz: 'ok', keyId }),
    open: (ciphertext) => open(ciphertext),
  });
  const restart = (): Promise<void> => {
    keyId = 'key-2';
    open = () => undefined;
    return Promise.resolve();
  };
  const report = await check(socket, { only: ['restart'], commands: { restart } });
  assert.deepEqual(idsOf(report, 'failed'), ['restart.values', 'restart.status']);
});

test('an outage is told, ends in time and heals; a plugin that hides it is found', async (t) => {
  for (const [healthzDuring, failed] of [
    ['the backend is away', []],
    ['ok', ['outage.told']],
  ] as const) {
    let up = true;
    const socket = await startBrokenPlugin(t, {
      status: () => ({ version: 'v2', healthz: up ? 'ok' : healthzDuring, keyId: 'key-1' }),
      around: ({ method }, answer) =>
        up || method.endsWith('Status') || method.endsWith('Version')
          ? Promise.resolve(answer())
          : Promise.reject(new Error('away')),
    });
    const set = (value: boolean) => (): Promise<void> => {
      up = value;
      return Promise.resolve();
    };
    const commands = { breakBackend: set(false), healBackend: set(true) };
    const report = await check(socket, { only: ['outage'], commands, waitMs: 300 });
    assert.deepEqual(idsOf(report, 'failed'), failed, trouble(report));
    assert.equal(idsOf(report, 'passed').length, 3 - failed.length);
  }
});

test('nothing there, and something else there, is said', async (t) => {
  const nowhere = join(await tempFolder(t), 'none.sock');
  const noPlugin = (error: unknown): boolean => error instanceof KmsPluginError && error.code === 'no_plugin';
  await assert.rejects(check(nowhere), noPlugin);
  await assert.rejects(check(await startBrokenPlugin(t, { served: [] })), noPlugin);
  const { socket } = await localPlugin(t);
  await assert.rejects(
    check(socket, { only: ['status.nonsense'] }),
    (error) => error instanceof KmsPluginError && error.code === 'invalid_options',
  );
});

test('what is left out is not run, and nothing run is no success', async (t) => {
  const { socket } = await localPlugin(t);
  const report = await check(socket, { only: ['status'], skip: ['status.healthz'] });
  assert.deepEqual(idsOf(report, 'not-run'), ['status.healthz']);
  assert.equal(report.conforms, true);
  const nothing = await check(socket, { only: ['restart'] });
  assert.equal(nothing.conforms, false);
});

let calls = 0;
let lastPlaintext: Buffer | undefined;
let busy = false;

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

/** Broken in one way each, and the checks that must fail. */
const broken: Readonly<Record<string, readonly [Partial<Behaviour>, readonly string[]]>> = {
  'nothing is broken': [{}, []],
  'the key id changes': [
    { status: () => ({ version: 'v2', healthz: 'ok', keyId: `key-${calls++}` }) },
    ['status.key-id-stable'],
  ],
  'Encrypt names another key': [{ keyId: () => 'key-2' }, ['status.encrypt-agrees', 'load.encrypt-agrees']],
  'Encrypt names another key under load only': [
    {
      keyId: () => (busy ? 'key-2' : 'key-1'),
      around: async ({ inFlight }, answer) => {
        await pause();
        busy = inFlight > 4;
        return answer();
      },
    },
    ['load.encrypt-agrees'],
  ],
  'the version flips': [
    { status: () => ({ version: calls++ % 2 === 0 ? 'v2' : 'v2beta1', healthz: 'ok', keyId: 'key-1' }) },
    ['status.version-constant'],
  ],
  'the version is of no contract': [
    { status: () => ({ version: 'v3', healthz: 'ok', keyId: 'key-1' }) },
    ['status.version'],
  ],
  'healthz is empty': [
    { status: () => ({ version: 'v2', healthz: '', keyId: 'key-1' }) },
    ['status.healthz'],
  ],
  'healthz is OK in capitals': [
    { status: () => ({ version: 'v2', healthz: 'OK', keyId: 'key-1' }) },
    ['status.healthz'],
  ],
  'the v1 version is of no contract': [
    { v1Version: () => ({ version: 'v1', runtimeName: 'double', runtimeVersion: '1' }) },
    ['version.fields'],
  ],
  'the key id is too long': [
    {
      status: () => ({ version: 'v2', healthz: 'ok', keyId: 'k'.repeat(1025) }),
      keyId: () => 'k'.repeat(1025),
    },
    ['limits.key-id'],
  ],
  'the ciphertext has 1025 bytes': [
    {
      seal: (plaintext) => padded(sealWith(randomBytes(12), plaintext), 1025),
      open: (ciphertext) => (ciphertext.length === 1025 ? unpadded(ciphertext) : undefined),
    },
    ['limits.ciphertext'],
  ],
  'an annotation has no domain name': [
    { annotations: () => new Map([['Version', Buffer.from('1')]]) },
    ['limits.annotations'],
  ],
  'annotations are too large': [
    { annotations: () => new Map([['big.double.example', Buffer.alloc(32 * 1024)]]) },
    ['limits.annotations'],
  ],
  'the plaintext lies in the ciphertext': [
    {
      seal: (plaintext) => {
        const body = Buffer.concat([randomBytes(12), plaintext]);
        return Buffer.concat([body, macOf(body)]);
      },
      open: (ciphertext) => {
        const body = ciphertext.subarray(0, -32);
        return macOf(body).equals(ciphertext.subarray(-32)) ? body.subarray(12) : undefined;
      },
    },
    ['v2.hidden-plaintext', 'v1.hidden-plaintext'],
  ],
  'the plaintext lies in an annotation': [
    {
      seal: (plaintext) => {
        lastPlaintext = Buffer.from(plaintext);
        return sealWith(randomBytes(12), plaintext);
      },
      annotations: () =>
        new Map([['dek.double.example', Buffer.from(lastPlaintext?.toString('base64') ?? '')]]),
    },
    ['v2.hidden-plaintext'],
  ],
  'equal plaintexts are equal ciphertexts': [
    { seal: (plaintext) => sealWith(macOf(plaintext).subarray(0, 12), plaintext) },
    ['v2.fresh-ciphertexts', 'v1.fresh-ciphertexts'],
  ],
  'the plaintext comes back shorter': [
    { open: (ciphertext) => openSealed(ciphertext)?.subarray(0, 40) },
    ['v2.round-trip', 'v1.round-trip'],
  ],
  'an empty ciphertext opens': [
    { open: (ciphertext) => (ciphertext.length === 0 ? Buffer.alloc(32) : openSealed(ciphertext)) },
    ['v2.empty-ciphertext', 'v1.empty-ciphertext'],
  ],
  'a truncated ciphertext opens': [
    {
      seal: (plaintext) => Buffer.concat([sealWith(randomBytes(12), plaintext), Buffer.alloc(1, 7)]),
      open: (ciphertext) => openSealed(ciphertext) ?? openSealed(ciphertext.subarray(0, -1)),
    },
    ['v2.truncated-ciphertext', 'v1.truncated-ciphertext'],
  ],
  'a changed ciphertext opens as something else': [
    {
      open: (ciphertext) =>
        openSealed(ciphertext) ?? (ciphertext.length === 60 ? randomBytes(32) : undefined),
    },
    // Random bytes of the very same length are no more readable than flipped bits.
    ['v2.changed-ciphertext', 'v2.garbage-ciphertext', 'v1.changed-ciphertext', 'v1.garbage-ciphertext'],
  ],
  'what other plugins made opens': [
    {
      open: (ciphertext) =>
        ciphertext.toString('latin1').startsWith('vault:') ? Buffer.alloc(32) : openSealed(ciphertext),
    },
    ['v2.foreign-ciphertext', 'v1.foreign-ciphertext'],
  ],
  'requests that are no message are answered': [
    {
      served: ['v2'],
      around: (_call, answer) => {
        try {
          return Promise.resolve(answer());
        } catch (error) {
          return error instanceof RangeError || (error instanceof Error && /wire type/.test(error.message))
            ? Promise.resolve(Buffer.alloc(0))
            : Promise.reject(error);
        }
      },
    },
    ['v2.not-protobuf'],
  ],
  'unknown fields are refused': [
    {
      served: ['v2'],
      received: (message) => {
        if (message.includes('unknown')) throw new Error('unknown field');
      },
    },
    ['v2.unknown-fields'],
  ],
  "another's plaintext is answered under load": [
    {
      around: async ({ method, inFlight }, answer) => {
        // So that calls come together, however slow the machine is.
        await pause();
        const own = answer();
        if (inFlight <= 16 || !method.endsWith('Decrypt')) return own;
        const given = lastPlaintext ?? own;
        lastPlaintext = own;
        return given;
      },
    },
    ['load.own-answers'],
  ],
};

const padded = (bytes: Buffer, size: number): Buffer => {
  const frame = Buffer.alloc(size);
  frame.writeUInt16BE(bytes.length);
  bytes.copy(frame, 2);
  macOf(bytes).copy(frame, size - 32);
  // The rest is authenticated too: every byte of it follows from the sealed ones.
  for (let at = bytes.length + 2; at < size - 32; at++) frame[at] = 0x55;
  return frame;
};

const unpadded = (frame: Buffer): Buffer | undefined => {
  const length = frame.readUInt16BE();
  if (length > frame.length - 34) return undefined;
  const bytes = frame.subarray(2, 2 + length);
  return padded(bytes, frame.length).equals(frame) ? openSealed(bytes) : undefined;
};

for (const [what, [behaviour, failed]] of Object.entries(broken)) {
  test(`broken on purpose: ${what}`, async (t) => {
    calls = 0;
    busy = false;
    lastPlaintext = undefined;
    const socket = await startBrokenPlugin(t, behaviour);
    const report = await check(socket);
    assert.deepEqual(idsOf(report, 'failed'), failed, trouble(report));
    assert.equal(report.conforms, failed.length === 0);
  });
}

test('broken on purpose: garbage ends the process; what comes later is not judged', async (t) => {
  const socket = await startBrokenPlugin(t, {
    served: ['v2'],
    received: (message, { crash }) => {
      if (message.length > 1000 && message.length < 1200) crash();
    },
  });
  const report = await check(socket, { waitMs: 100 });
  assert.deepEqual(idsOf(report, 'failed'), ['v2.garbage-ciphertext'], trouble(report));
  const later = idsOf(report, 'not-judged');
  assert.deepEqual(later.slice(0, 2), ['v2.oversized-message', 'v2.unknown-fields']);
  assert.equal(report.conforms, false);
});

test('broken on purpose: a cancelled call blocks the plugin', async (t) => {
  let blocked = false;
  const socket = await startBrokenPlugin(t, {
    served: ['v2'],
    cancelled: () => {
      blocked = true;
    },
    around: async ({ method }, answer) => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      return blocked && !method.endsWith('Status') ? new Promise(() => {}) : answer();
    },
  });
  const report = await check(socket, { only: ['deadlines.cancelled'], hangMs: 300 });
  assert.deepEqual(idsOf(report, 'failed'), ['deadlines.cancelled'], trouble(report));
});

test('broken on purpose: some calls are slower than the caller waits', async (t) => {
  const socket = await startBrokenPlugin(t, {
    served: ['v2'],
    around: async ({ method }, answer) => {
      if (method.endsWith('Encrypt') && calls++ % 12 === 11) {
        await new Promise((resolve) => setTimeout(resolve, 600));
      }
      return answer();
    },
  });
  const report = await check(socket, { budgetMs: 400, only: ['status', 'limits', 'connections', 'load'] });
  assert.deepEqual(idsOf(report, 'failed'), ['load.latency'], trouble(report));
});

test('broken on purpose: a request that is no message hangs', async (t) => {
  const socket = await startBrokenPlugin(t, {
    served: ['v2'],
    around: ({ method }, answer) =>
      method.endsWith('Decrypt') ? new Promise(() => {}) : Promise.resolve(answer()),
  });
  const report = await check(socket, { only: ['v2.not-protobuf'], hangMs: 200 });
  assert.deepEqual(idsOf(report, 'failed'), ['v2.not-protobuf'], trouble(report));
});
