/** A group of keys behind a running plugin: health per key, what Status says, what metrics tell, and KMS v1. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setImmediate as settled } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import {
  connectKmsV1,
  connectKmsV2,
  KmsApiError,
  type KmsV1Client,
  type KmsV2Client,
} from '@waxseal/kms-api';
import { KmsPluginError, ProviderError, type Failure } from '../errors.js';
import type { KeyCondition } from '../key-condition.js';
import { startPlugin, type Plugin, type PluginOptions } from '../plugin.js';
import type { Provider } from '../provider.js';
import { createSnapshot } from '../snapshot.js';
import { createFakeClock } from '../testing/fake-clock.js';
import { createFakeProvider } from '../testing/fake-provider.js';
import { tempFolder } from '../testing/temp-folder.js';
import { createKeyGroup, type KeyGroupOptions } from './key-group.js';

const down: Failure = { class: 'unavailable', code: 'unavailable', advice: 'The backend is down.' };

interface FakeKey extends Provider {
  up: boolean;
  calls: number;
}

/** A key of its own: ciphertexts of other keys are corrupt to it. */
function fakeKey(keyId: string, overrides: Partial<Provider> = {}): FakeKey {
  const mark = Buffer.from(`${keyId}:`);
  const snapshot = createSnapshot({ keyId });
  const mine = (bytes: Buffer): boolean => bytes.subarray(0, mark.length).equals(mark);
  const key: FakeKey = {
    ...createFakeProvider(),
    up: true,
    calls: 0,
    name: keyId,
    snapshot: () => snapshot,
    recognizes: ({ ciphertext }) => mine(ciphertext),
    encrypt: async (_snapshot, plaintext) => {
      key.calls += 1;
      if (!key.up) throw new ProviderError('ECONNREFUSED', down);
      return { ciphertext: Buffer.concat([mark, plaintext.toReversed()]), annotations: {} };
    },
    decrypt: async ({ ciphertext }) => {
      key.calls += 1;
      if (!key.up) throw new ProviderError('ECONNREFUSED', down);
      return Buffer.from(ciphertext.subarray(mark.length).toReversed());
    },
    ...overrides,
  };
  return key;
}

interface Running {
  readonly plugin: Plugin;
  readonly v1: KmsV1Client;
  readonly v2: KmsV2Client;
  readonly metrics: () => Promise<string>;
}

async function running(
  t: TestContext,
  group: KeyGroupOptions,
  options: Partial<PluginOptions> = {},
): Promise<Running> {
  const plugin = await startPlugin({
    name: 'set',
    listen: join(await tempFolder(t), 'kms.sock'),
    provider: createKeyGroup(group),
    health: { host: '127.0.0.1', port: 0 },
    limits: { attemptsMax: 1, breakerFailuresMax: 2 },
    ...options,
  });
  t.after(() => plugin.close());
  const [endpoint = ''] = plugin.sockets;
  const [v1, v2] = [connectKmsV1({ endpoint }), connectKmsV2({ endpoint })];
  t.after(() => {
    v1.close();
    v2.close();
  });
  await v2.status();
  return {
    plugin,
    v1,
    v2,
    metrics: async () => (await fetch(`${plugin.healthEndpoint ?? ''}/metrics`)).text(),
  };
}

const failing =
  (code: string, message = /./) =>
  (error: unknown) => {
    assert.ok(error instanceof KmsApiError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };

test('an old key that fails leaves the new one healthy, and its breaker stops no Decrypt of the new one', async (t) => {
  const [fresh, old] = [fakeKey('new'), fakeKey('old')];
  const { v2, plugin, metrics } = await running(t, {
    primary: { provider: fresh },
    readers: [{ name: 'former', provider: old }],
  });
  const now = await v2.encrypt('u', Buffer.from('dek'));
  const before = { ciphertext: Buffer.from('old:ked'), keyId: 'old', annotations: {} };
  assert.equal((await v2.decrypt('u', before)).toString(), 'dek');
  old.up = false;
  for (let i = 0; i < 4; i++) await assert.rejects(v2.decrypt('u', before), failing('unavailable'));
  assert.deepEqual(await v2.status(), { version: 'v2', healthz: 'ok', keyId: 'new' });
  assert.equal((await v2.decrypt('u', now)).toString(), 'dek');
  const ready = await fetch(`${plugin.healthEndpoint ?? ''}/readyz`);
  assert.equal(ready.status, 200);
  const text = await metrics();
  assert.match(text, /waxseal_kms_plugin_breaker_open\{key_set="set\/former",operation="decrypt"\} 1/);
  assert.match(text, /waxseal_kms_plugin_breaker_open\{key_set="set",operation="decrypt"\} 0/);
  assert.match(
    text,
    /waxseal_kms_recipient_operations_total\{key_set="set",recipient="former",role="reader",operation="decrypt",result="ok"\} 1/,
  );
});

test('the primary away: a recipient opens, Status says so, and no key id is named', async (t) => {
  const [primary, second] = [fakeKey('one'), fakeKey('two')];
  const { v2, metrics } = await running(t, {
    primary: { provider: primary },
    recipients: [{ name: 'second', provider: second }],
  });
  const sealed = await v2.encrypt('u', Buffer.from('dek'));
  assert.equal(sealed.ciphertext.toString(), 'one:ked');
  primary.up = false;
  assert.equal((await v2.decrypt('u', sealed)).toString(), 'dek');
  assert.match((await v2.status()).healthz, /^decrypt: ECONNREFUSED/);
  await assert.rejects(v2.encrypt('u', Buffer.from('dek')), failing('unavailable'));
  assert.equal((await v2.status()).keyId, '');
  assert.match(
    await metrics(),
    /recipient_operations_total\{key_set="set",recipient="second",role="recipient",operation="decrypt",result="ok"\} 1/,
  );
});

test('a recipient away under the policy all: told in Status, and API servers write on with the DEK they have', async (t) => {
  const second = fakeKey('two');
  const lines: string[] = [];
  const log = (_fields: object, message: string): void => {
    if (message.includes('DEK source')) lines.push(message);
  };
  const { v2, plugin } = await running(
    t,
    { primary: { provider: fakeKey('one') }, recipients: [{ name: 'second', provider: second }] },
    { logger: { debug: log, info: log, warn: log } },
  );
  second.up = false;
  await assert.rejects(
    v2.encrypt('u', Buffer.from('dek')),
    failing('unavailable', /recipient second: ECONN/),
  );
  const status = await v2.status();
  assert.equal(status.healthz, 'encrypt: recipient second: ECONNREFUSED: The backend is down.');
  assert.equal(status.keyId, 'one');
  const ready = await fetch(`${plugin.healthEndpoint ?? ''}/readyz`);
  assert.equal(ready.status, 503);
  assert.match(await ready.text(), /\[-\]set recipients failed: recipient second: ECONNREFUSED/);
  assert.deepEqual(lines, ['new DEK sources cannot be wrapped for all who must be able to open them']);
  second.up = true;
  await plugin.reload();
  assert.equal((await v2.status()).healthz, 'ok');
  assert.equal(lines.at(-1), 'the recipients that new DEK sources need work');
});

test('what a write lacks under the policy primary is counted, when it goes out and when it is met again; probes are not', async (t) => {
  const second = fakeKey('two');
  second.up = false;
  const { v2, metrics } = await running(t, {
    primary: { provider: fakeKey('one') },
    recipients: [{ name: 'second', provider: second }],
    writePolicy: 'primary',
  });
  assert.equal((await v2.status()).healthz, 'ok');
  const sealed = await v2.encrypt('u', Buffer.from('dek'));
  assert.deepEqual(sealed.annotations, {});
  await v2.decrypt('u', sealed);
  const text = await metrics();
  for (const operation of ['encrypt', 'decrypt']) {
    assert.match(
      text,
      new RegExp(
        `waxseal_kms_recipient_missing_total\\{key_set="set",recipient="second",operation="${operation}"\\} 1\n`,
      ),
    );
  }
});

test('recipients are served to KMS v2 alone; readers take nothing from KMS v1', async (t) => {
  const group = {
    primary: { provider: fakeKey('one') },
    recipients: [{ name: 'second', provider: fakeKey('two') }],
  };
  const { v1 } = await running(t, group);
  await assert.rejects(v1.version(), failing('unimplemented'));
  await assert.rejects(v1.encrypt(Buffer.from('dek')), failing('unimplemented'));
  await assert.rejects(running(t, group, { versions: ['v1', 'v2'] }), (error: unknown) => {
    assert.ok(error instanceof KmsPluginError);
    assert.equal(error.code, 'invalid_options');
    assert.match(error.message, /"set" has recipients, and KMS v1 has no place .* a key set of their own/);
    return true;
  });
  const readersOnly = await running(t, {
    primary: { provider: fakeKey('one') },
    readers: [{ name: 'old', provider: fakeKey('two') }],
  });
  assert.equal((await readersOnly.v1.encrypt(Buffer.from('dek'))).toString(), 'one:ked');
});

test('a key that is refused because it will be deleted: Status tells the danger and its date, not the refusal', async (t) => {
  const epochMs = Date.UTC(2026, 0, 1);
  const refused: Failure = { class: 'user-induced', code: 'failed_precondition', advice: 'Look at the key.' };
  const provider = fakeKey('one', {
    encrypt: () => Promise.reject(new ProviderError('KMSInvalidStateException', refused)),
    describe: () =>
      Promise.resolve({
        state: 'pending-deletion',
        unreadableFromMs: epochMs + 3 * 86_400_000,
        warnings: [],
      }),
  });
  for (const failOnPendingDeletion of [false, true]) {
    const { v2 } = await running(
      t,
      { primary: { provider } },
      { failOnPendingDeletion, clock: createFakeClock(), epochMs: () => epochMs },
    );
    await settled();
    const { keyId, healthz } = await v2.status();
    assert.equal(keyId, '', 'nothing new is sealed under it');
    assert.match(
      healthz,
      failOnPendingDeletion
        ? /^The primary key will be deleted on 2026-01-04; cancel its deletion/
        : /^encrypt: KMSInvalidStateException: Look at the key\.$/,
    );
  }
});

test('a key that is about to be deleted: in metrics always, in Status when asked for', async (t) => {
  const epochMs = Date.UTC(2026, 0, 1);
  const condition: KeyCondition = {
    state: 'pending-deletion',
    unreadableFromMs: epochMs + 3 * 86_400_000,
    warnings: [],
  };
  const describe = (): Promise<KeyCondition> => Promise.resolve(condition);
  for (const failOnPendingDeletion of [false, true]) {
    const { v2, metrics } = await running(
      t,
      {
        primary: { provider: fakeKey('one') },
        recipients: [{ name: 'second', provider: fakeKey('two', { describe }) }],
      },
      { failOnPendingDeletion, clock: createFakeClock(), epochMs: () => epochMs },
    );
    await settled();
    const status = await v2.status();
    assert.equal(status.keyId, 'one');
    assert.equal(
      status.healthz,
      failOnPendingDeletion
        ? 'The recipient key second will be deleted on 2026-01-04; cancel its deletion, or the data under it alone is lost.'
        : 'ok',
    );
    assert.match(
      await metrics(),
      /waxseal_kms_key_days_until_unreadable\{key_set="set",key_id_hash="[0-9a-f]{16}",recipient="second",role="recipient"\} 3\n/,
    );
  }
});
