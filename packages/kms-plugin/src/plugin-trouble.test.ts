/** A backend in trouble, seen from the socket: who gets an answer, when, and what the metrics say afterwards. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { connectKmsV2, KmsApiError, type KmsV2Client } from '@waxseal/kms-api';
import { Registry } from 'prom-client';
import { ProviderError, type Failure } from './errors.js';
import { startPlugin, type Plugin, type PluginOptions } from './plugin.js';
import { createFakeProvider } from './testing/fake-provider.js';
import { tempFolder } from './testing/temp-folder.js';

const down: Failure = { class: 'unavailable', code: 'unavailable', advice: 'The backend is down.' };

interface Running {
  readonly plugin: Plugin;
  readonly client: KmsV2Client;
  readonly registry: Registry;
}

async function running(
  t: TestContext,
  options: Partial<PluginOptions>,
  callTimeoutMs?: number,
): Promise<Running> {
  const listen = join(await tempFolder(t), 'kms.sock');
  const registry = new Registry();
  const plugin = await startPlugin({ listen, provider: createFakeProvider(), registry, ...options });
  const client = connectKmsV2({
    endpoint: `unix://${listen}`,
    ...(callTimeoutMs === undefined ? {} : { timeoutMs: callTimeoutMs }),
  });
  t.after(async () => {
    client.close();
    await plugin.close();
  });
  return { plugin, client, registry };
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'ok',
    (error: unknown) => (error instanceof KmsApiError ? error.code : String(error)),
  );
}

const sealed = (text: string) => ({
  ciphertext: Buffer.from(`fake:${text}`),
  keyId: 'fake-key-1',
  annotations: {},
});

test('a key refused for its state is asked about at once, and again when it works', async (t) => {
  const disabled: Failure = { class: 'user-induced', code: 'failed_precondition', advice: 'Enable the key.' };
  let failure: Failure | undefined;
  let asked = 0;
  const { client, registry } = await running(t, {
    provider: createFakeProvider({
      encrypt: (_snapshot, plaintext) =>
        failure === undefined
          ? Promise.resolve({
              ciphertext: Buffer.concat([Buffer.from('fake:'), plaintext.toReversed()]),
              annotations: {},
            })
          : Promise.reject(new ProviderError('Disabled', failure)),
      describe: () => {
        asked += 1;
        return Promise.resolve({ state: failure === undefined ? 'usable' : 'disabled', warnings: [] });
      },
    }),
  });
  const days = async (): Promise<number | undefined> =>
    (await registry.getSingleMetric('waxseal_kms_key_days_until_unreadable')?.get())?.values[0]?.value;
  await client.status();
  assert.equal(asked, 1);
  assert.equal(await days(), Infinity);
  failure = disabled;
  assert.equal(await codeOf(client.encrypt('u', Buffer.from('dek'))), 'failed_precondition');
  assert.equal(asked, 2);
  assert.equal(await days(), 0);
  failure = undefined;
  assert.equal(await codeOf(client.encrypt('u', Buffer.from('dek'))), 'ok');
  assert.equal(asked, 3);
  assert.equal(await days(), Infinity);
});

test('a caller that waits a short time gets an answer from the plugin, not its own timeout', async (t) => {
  let signalled: AbortSignal | undefined;
  const { client, plugin, registry } = await running(
    t,
    {
      provider: createFakeProvider({
        encrypt: (_snapshot, plaintext, signal) => {
          if (plaintext.toString() !== 'hang')
            return Promise.resolve({ ciphertext: plaintext, annotations: {} });
          signalled = signal;
          return new Promise(() => {});
        },
        decrypt: ({ ciphertext }) => Promise.resolve(Buffer.from(ciphertext)),
      }),
    },
    1000,
  );
  await client.status();
  assert.equal(await codeOf(client.encrypt('u', Buffer.from('hang'))), 'deadline_exceeded');
  // Had the caller's time been over first, the plugin would have counted a cancelled call.
  assert.match(
    await registry.metrics(),
    /requests_total\{[^}]*method="Encrypt",code="deadline_exceeded"\} 1/,
  );
  assert.equal(signalled?.aborted, true);
  assert.match(plugin.healthz(), /encrypt: timeout/);
});

test('with the backend away: retries, then the breaker; Encrypt stands still and Decrypt goes on', async (t) => {
  let encrypts = 0;
  const { client, registry } = await running(t, {
    limits: { attemptsMax: 2, breakerFailuresMax: 2 },
    provider: createFakeProvider({
      encrypt: () => {
        encrypts += 1;
        return Promise.reject(new ProviderError('ECONNREFUSED', down));
      },
    }),
  });
  // The first probe is the first failure; it is not made again.
  assert.match((await client.status()).healthz, /ECONNREFUSED/);
  assert.equal(await codeOf(client.encrypt('u', Buffer.from('a'))), 'unavailable');
  assert.equal(encrypts, 3);
  await assert.rejects(
    client.encrypt('u', Buffer.from('b')),
    /not tried after ECONNREFUSED: The backend is down/,
  );
  assert.equal(encrypts, 3, 'answered without the backend');
  assert.equal((await client.decrypt('u', sealed('ked'))).toString(), 'dek');
  const text = await registry.metrics();
  assert.match(text, /waxseal_kms_plugin_breaker_open\{key_set="fake",operation="encrypt"\} 1/);
  assert.match(text, /waxseal_kms_plugin_breaker_open\{key_set="fake",operation="decrypt"\} 0/);
  assert.match(text, /waxseal_kms_plugin_short_circuited_total\{[^}]*operation="encrypt"\} 1/);
  assert.match(text, /waxseal_kms_provider_retries_total\{[^}]*operation="encrypt",reason="unavailable"\} 1/);
});

test('with more calls than the plugin may hold: Decrypts are served, the rest is told to come again', async (t) => {
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const works = createFakeProvider();
  let under = 0;
  let most = 0;
  const { client, registry } = await running(t, {
    limits: { inFlightMax: 2, queueMax: 4 },
    provider: createFakeProvider({
      encrypt: async (...args) => {
        most = Math.max(most, ++under);
        await held;
        under -= 1;
        return works.encrypt(...args);
      },
      decrypt: async (...args) => {
        most = Math.max(most, ++under);
        await held;
        under -= 1;
        return works.decrypt(...args);
      },
    }),
  });
  // One of the two places is the probe's.
  const encrypts = Array.from({ length: 7 }, (_, i) => codeOf(client.encrypt('u', Buffer.from(`e${i}`))));
  const decrypts = Array.from({ length: 4 }, (_, i) => codeOf(client.decrypt('u', sealed(`d${i}`))));
  // Four Decrypts have pushed all Encrypts out of the line; one Encrypt was under way before.
  const refused = await Promise.race([
    Promise.all(encrypts.slice(1)),
    Promise.all(encrypts).then(() => ['all answered']),
  ]);
  assert.deepEqual(new Set(refused), new Set(['resource_exhausted']));
  const text = await registry.metrics();
  assert.match(text, /waxseal_kms_plugin_queue_depth\{key_set="fake",priority="decrypt"\} 4/);
  assert.match(text, /waxseal_kms_plugin_backend_calls_in_flight\{key_set="fake"\} 2/);
  release();
  assert.deepEqual(await Promise.all(decrypts), ['ok', 'ok', 'ok', 'ok']);
  assert.equal(await encrypts[0], 'ok');
  assert.equal(most, 2);
});
