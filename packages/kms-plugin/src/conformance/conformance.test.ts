/** The conformance kit on plugins that work, restart, go through an outage, or are not there. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { KmsPluginError } from '../errors.js';
import { startPlugin, type Plugin, type PluginOptions } from '../plugin.js';
import type { Provider } from '../provider.js';
import { createLocalProvider } from '../providers/local.js';
import { createKeyring } from '../providers/local-keyring.js';
import { createKeyGroup } from '../recipients/key-group.js';
import { openSealed, startBrokenPlugin, type Behaviour } from '../testing/broken-plugins.js';
import { check, idsOf, trouble } from '../testing/conformance.js';
import { tempFolder } from '../testing/temp-folder.js';
import { conformanceChecks } from './checks.js';

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

test('a plugin with recipients keeps the contract: it serves v2 alone', async (t) => {
  const folder = await tempFolder(t);
  const local = async (name: string): Promise<Provider> => {
    const keyringFile = join(folder, name);
    await createKeyring(keyringFile);
    return createLocalProvider({ keyringFile });
  };
  const provider = createKeyGroup({
    primary: { provider: await local('a.json') },
    recipients: [{ name: 'b', provider: await local('b.json') }],
  });
  const { socket } = await localPlugin(t, { provider });
  const report = await check(socket);
  assert.equal(trouble(report), '');
  assert.equal(report.conforms, true);
  assert.deepEqual(report.served, ['v2']);
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
    open: (ciphertext) => open(ciphertext, { keyId: '', annotations: new Map() }),
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
