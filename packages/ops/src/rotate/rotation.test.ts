// Goal: at every moment of a rotation every server reads what any server wrote; killed anywhere it goes on and ends the same; what somebody
// else changed is never overwritten. Method: an embedded store and three servers in one process that load the file at different times;
// every write of a file is followed by a loss of what the run knew.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { appendFile, copyFile, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { hashKeyId } from '@waxseal/envelope';
import { planRotation } from './plan-rotation.js';
import { nextStep, readRotationState, ROTATION_STEPS } from './rotation-state.js';
import type { RotationTools } from './rotation-tools.js';
import { runRotation, type RotationOutcome } from './run-rotation.js';
import { createWorld, type RotationWorld, type WorldOptions } from './testing/rotation-world.js';
import type { WantedChange } from './wanted-change.js';

const HEAD = 'apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n';
const key = (byte: number): string => Buffer.alloc(32, byte).toString('base64');
const config = (...providers: readonly string[]): string =>
  `${HEAD}- resources: [secrets]\n  providers:\n${providers.map((each) => `  - ${each}\n`).join('')}`;
const aescbc = `aescbc: {keys: [{name: key1, secret: ${key(1)}}]}`;
const secretbox = `secretbox: {keys: [{name: box, secret: ${key(2)}}]}`;
const identity = 'identity: {}';
const kms = (name: string, version: string): string =>
  `kms: {apiVersion: ${version}, name: ${name}, endpoint: "unix:///run/${name}.sock"}`;
const toKms = { kind: 'to-kms', name: 'two', endpoint: 'unix:///run/two.sock', timeoutMs: 3000 } as const;

async function world(t: TestContext, options: WorldOptions): Promise<RotationWorld> {
  const made = await createWorld(options);
  t.after(() => made.close());
  for (const [index, server] of made.servers.entries()) {
    for (let each = 0; each < 5; each++) await made.write(server, `first-${index}-${each}`);
  }
  return made;
}

const plan = ({ stateFile, configFile, tools }: RotationWorld, change: WantedChange): Promise<unknown> =>
  planRotation({ stateFile, configFile, change, randomBytes, now: tools.now });

/** After each step and each distribution every server writes, and all read everything. */
function watched(made: RotationWorld, tools: RotationTools = made.tools): RotationTools {
  let times = 0;
  const check = async (): Promise<void> => {
    times++;
    for (const [index, server] of made.servers.entries())
      await made.write(server, `during-${times}-${index}`);
    await made.readAll();
  };
  return {
    ...tools,
    async distribute(file, hash) {
      await check();
      await tools.distribute?.(file, hash);
    },
    async fetchMetrics(server) {
      const metrics = await tools.fetchMetrics(server);
      await check();
      return metrics;
    },
    async rewrap(file, checkpoint) {
      await check();
      const counts = await tools.rewrap(file, checkpoint);
      await check();
      return counts;
    },
  };
}

const run = (made: RotationWorld, finish = false, tools = made.tools): Promise<RotationOutcome> =>
  runRotation(made.stateFile, finish, tools);

const compact = async ({ store }: RotationWorld): Promise<void> => {
  const { revision, compactRevision } = await store.status();
  if (revision > compactRevision) await store.compact(revision);
};

const CHANGES: readonly (readonly [string, string, WantedChange, string])[] = [
  [
    'aescbc to a new aescbc key',
    config(aescbc, identity),
    { kind: 'add-key', provider: 'aescbc' },
    'k8s:enc:aescbc:v1:key2:',
  ],
  [
    'aescbc to secretbox',
    config(aescbc),
    { kind: 'add-key', provider: 'secretbox', name: 's' },
    'k8s:enc:secretbox:v1:s:',
  ],
  [
    'plaintext to aesgcm',
    config(identity),
    { kind: 'add-key', provider: 'aesgcm' },
    'k8s:enc:aesgcm:v1:key1:',
  ],
  ['aescbc to kms v2', config(aescbc), toKms, 'k8s:enc:kms:v2:two:'],
  ['kms v1 to v2', config(kms('one', 'v1')), toKms, 'k8s:enc:kms:v2:two:'],
  ['back to identity', config(secretbox, identity), { kind: 'to-identity' }, '{"name":'],
  [
    'a target that swaps two keys',
    config(aescbc, secretbox),
    { kind: 'target', text: config(secretbox), fileName: 'target.yaml' },
    'k8s:enc:secretbox:v1:box:',
  ],
];

for (const [name, before, change, written] of CHANGES) {
  test(`${name}: every server reads everything at every moment`, async (t) => {
    const made = await world(t, { config: before, lag: (server) => (server === 'https://two' ? 1 : 0) });
    await plan(made, change);
    const ready = await run(made, false, watched(made));
    assert.equal(ready.kind, 'ready-to-finish', JSON.stringify(ready));
    for (const index of [0, 1, 2]) assert.ok((await made.stored(`first-${index}-0`)).startsWith(written));

    await compact(made);
    const finished = await run(made, true, watched(made));
    assert.equal(finished.kind, 'finished', JSON.stringify(finished));
    assert.ok((await made.readAll()) >= 15);
    assert.ok((await made.stored('during-1-0')).startsWith(written), 'written under the old key, rewrapped');
    const state = await readRotationState(made.stateFile);
    assert.ok(
      Object.values(state.configurations).every(({ text }) => text === undefined),
      'no key is left',
    );
  });
}

test('a new keyID of a KMS: proved, rewrapped, verified; the file stays', async (t) => {
  const made = await world(t, { config: config(kms('two', 'v2')) });
  await plan(made, { kind: 'kms-key-id', name: 'two', keyId: 'key-2' });
  const metrics = (keyId: string): string =>
    `apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds{key_id_hash="${hashKeyId(keyId)}",provider_name="two"} 1\n`;
  const tools: RotationTools = {
    ...made.tools,
    fetchMetrics: () => Promise.resolve(metrics(made.kms.keyId)),
  };
  const early = await run(made, false, tools);
  assert.equal(early.kind === 'stopped' && early.step, 'prove-key-id');
  // Rewrap under the old keyID, as a plugin that lags behind would, is found by the verification.
  const lagging = await run(made, false, { ...tools, fetchMetrics: () => Promise.resolve(metrics('key-2')) });
  assert.equal(lagging.kind === 'stopped' && lagging.step, 'verify');
  made.kms.keyId = 'key-2';
  await made.tools.rewrap(made.configFile, `${made.stateFile}.by-hand`);
  assert.equal((await run(made, false, tools)).kind, 'finished');
  assert.equal(await readFile(made.configFile, 'utf8'), config(kms('two', 'v2')));
  assert.ok((await made.readAll()) >= 15);
});

test('killed after every write, in each step, it goes on and ends the same', async (t) => {
  const made = await world(t, { config: config(aescbc) });
  await plan(made, { kind: 'add-key', provider: 'secretbox', name: 'new' });
  let kills = 0;
  const seen: string[] = [];
  for (let rounds = 0; rounds < 100; rounds++) {
    const saved = await readFile(made.stateFile);
    const step = nextStep(await readRotationState(made.stateFile));
    seen.push(step ?? 'end');
    if (step === undefined) break;
    await compact(made);
    const dies = new Error('killed');
    const killedIn = async (tools: Partial<RotationTools>): Promise<void> => {
      kills++;
      await assert.rejects(run(made, true, watched(made, { ...made.tools, ...tools })), dies);
      await made.readAll();
    };
    // The configuration is written, the state not; the rewrap is done, the state not.
    const writes = ['add-reader', 'promote', 'keep-one', 'remove-old'].includes(step);
    // Each run but the first brings the file of the last step to the servers again before anything else.
    let calls = step === 'add-reader' ? 1 : 0;
    if (writes)
      await killedIn({ distribute: () => (calls++ === 0 ? Promise.resolve() : Promise.reject(dies)) });
    if (step === 'rewrap') await killedIn({ rewrap: () => Promise.reject(dies) });
    // Everything is done but written down: once more from the state before.
    for (const again of [true, false]) {
      await killedIn({
        onStep: (_, phase) => {
          if (phase === 'done') throw dies;
        },
      });
      if (again) await writeFile(made.stateFile, saved);
    }
  }
  const steps = ROTATION_STEPS;
  assert.deepEqual(seen, [...steps, 'end']);
  assert.equal(kills, 2 * steps.length + 5);
  assert.ok((await made.stored('first-0-0')).startsWith('k8s:enc:secretbox:v1:new:'));
  assert.doesNotMatch(await readFile(made.configFile, 'utf8'), /aescbc/);
});

test('the file keeps mode and versions, the state is private', async (t) => {
  const made = await world(t, { config: config(aescbc, secretbox) });
  await plan(made, { kind: 'add-key', provider: 'aesgcm' });
  await run(made);
  assert.equal((await stat(made.configFile)).mode & 0o777, 0o640);
  assert.equal((await stat(made.stateFile)).mode & 0o777, 0o600);
  const backups = (await readdir(dirname(made.configFile)))
    .filter((each) => each.includes('.before-'))
    .toSorted();
  assert.deepEqual(
    backups.map((each) => each.replace(/.*\.before-/, '')),
    ['add-reader', 'keep-one', 'promote'],
  );
  assert.equal(
    await readFile(`${dirname(made.configFile)}/${backups[0]}`, 'utf8'),
    config(aescbc, secretbox),
  );
});

test('a file that somebody else changed is not overwritten, nor rewrapped with', async (t) => {
  const made = await world(t, { config: config(aescbc) });
  await plan(made, { kind: 'add-key', provider: 'aesgcm' });
  const steps = 5;
  for (let step = 0; step < steps; step++) {
    const before = await readFile(made.configFile);
    await appendFile(made.configFile, '# mine\n');
    const mine = await readFile(made.configFile, 'utf8');
    await assert.rejects(run(made), { code: 'state-invalid', message: /changed by somebody else/ });
    assert.equal(await readFile(made.configFile, 'utf8'), mine);
    assert.match((await readRotationState(made.stateFile)).stopped?.reason ?? '', /changed by somebody else/);
    await writeFile(made.configFile, before);
    const stop = new Error('one step');
    const onStep: RotationTools['onStep'] = (_, phase) => {
      if (phase === 'done') throw stop;
    };
    await assert.rejects(run(made, false, { ...made.tools, onStep }), stop);
  }
  assert.equal(nextStep(await readRotationState(made.stateFile)), 'verify');
});

test('it waits until every server proved the configuration, and says which did not', async (t) => {
  const made = await world(t, {
    config: config(aescbc),
    lag: (server) => (server === 'https://two' ? 1000 : 0),
  });
  await plan(made, { kind: 'add-key', provider: 'aesgcm' });
  const outcome = await run(made);
  assert.equal(outcome.kind, 'stopped');
  assert.match(JSON.stringify(outcome), /"step":"prove-reader","reason":"https:\/\/two: it still has sha256/);
  // Whoever answers nothing proves nothing.
  const down = await run(made, false, {
    ...made.tools,
    fetchMetrics: () => Promise.reject(new Error('refused')),
  });
  assert.match(JSON.stringify(down), /"step":"prove-reader","reason":".*cannot be read: refused/);
});

test('without servers each configuration is confirmed by hand, by its hash', async (t) => {
  const made = await world(t, { config: config(aescbc) });
  await plan(made, { kind: 'add-key', provider: 'aesgcm' });
  const tools = { ...made.tools, servers: [] };
  const first = await run(made, false, tools);
  assert.equal(first.kind === 'stopped' && first.step, 'prove-reader');
  const { hash } = (await readRotationState(made.stateFile)).configurations.readers;
  for (const server of made.servers) await made.tools.fetchMetrics(server);
  const wrong = await run(made, false, { ...tools, confirmed: `sha256:${'0'.repeat(64)}` });
  assert.equal(wrong.kind === 'stopped' && wrong.step, 'prove-reader');
  const second = await run(made, false, { ...tools, confirmed: hash });
  assert.equal(
    second.kind === 'stopped' && second.step,
    'prove-promoted',
    'one confirmation is for one configuration',
  );
});

test('history and backups keep the old key until they are gone', async (t) => {
  const made = await world(t, { config: config(aescbc) });
  await plan(made, { kind: 'add-key', provider: 'aesgcm' });
  assert.equal((await run(made)).kind, 'ready-to-finish');
  const early = await run(made, true);
  assert.match(JSON.stringify(early), /"step":"retire","reason":"still needed: aescbc:key1"/);
  assert.match(await readFile(made.configFile, 'utf8'), /aescbc/);
  await compact(made);
  assert.equal((await run(made, true)).kind, 'finished');
});

test('a server that was forgotten is found by what it writes', async (t) => {
  const made = await world(t, {
    config: config(aescbc),
    lag: (server) => (server === 'https://three' ? 1000 : 0),
  });
  await plan(made, { kind: 'add-key', provider: 'aesgcm' });
  const late: RotationTools = {
    ...made.tools,
    servers: made.servers.slice(0, 2),
    async rewrap(file, checkpoint) {
      const counts = await made.tools.rewrap(file, checkpoint);
      await made.write('https://three', 'late');
      return counts;
    },
  };
  const outcome = await run(made, false, late);
  assert.equal(outcome.kind === 'stopped' && outcome.step, 'verify');
  assert.deepEqual(outcome.kind === 'stopped' && outcome.remaining?.keys, ['/registry/secrets/default/late']);
});

test('one state file holds one rotation, and one process works on it', async (t) => {
  const made = await world(t, { config: config(aescbc) });
  await assert.rejects(run(made), { code: 'source-unreadable' });
  await plan(made, { kind: 'add-key', provider: 'aesgcm' });
  await assert.rejects(plan(made, { kind: 'to-identity' }), { code: 'state-invalid' });
  const meanwhile: RotationTools = {
    ...made.tools,
    async distribute() {
      const state = JSON.parse(await readFile(made.stateFile, 'utf8')) as { writes: number };
      await writeFile(made.stateFile, JSON.stringify({ ...state, writes: state.writes + 1 }));
    },
  };
  await assert.rejects(run(made, false, meanwhile), { code: 'state-invalid', message: /another process/ });
});

test('a damaged state is refused wherever it is cut', async (t) => {
  const made = await world(t, { config: config(aescbc) });
  await plan(made, { kind: 'add-key', provider: 'aesgcm' });
  const good = await readFile(made.stateFile);
  await copyFile(made.configFile, `${made.configFile}.copy`);
  for (let length = 0; length < good.length - 2; length += 7) {
    await writeFile(made.stateFile, good.subarray(0, length));
    await assert.rejects(run(made), { code: 'state-invalid' });
  }
  assert.deepEqual(await readFile(made.configFile), await readFile(`${made.configFile}.copy`));
});

test('a state of another version, and a file that is none, are refused and stay as they are', async (t) => {
  const made = await world(t, { config: config(aescbc) });
  await plan(made, { kind: 'add-key', provider: 'aesgcm' });
  const state = JSON.parse(await readFile(made.stateFile, 'utf8')) as object;
  await writeFile(made.stateFile, JSON.stringify({ ...state, format: 2 }));
  const newer = await readFile(made.stateFile);
  await assert.rejects(run(made), {
    code: 'state-invalid',
    message: /another version of Waxseal \(format 2/,
  });
  await assert.rejects(plan(made, { kind: 'to-identity' }), { code: 'state-invalid' });
  assert.deepEqual(await readFile(made.stateFile), newer);

  const { configFile, tools } = made;
  const mistaken = { stateFile: configFile, configFile, randomBytes, now: tools.now };
  await assert.rejects(planRotation({ ...mistaken, change: { kind: 'to-identity' } }), {
    code: 'state-invalid',
    message: /not the state of a rotation/,
  });
  assert.equal(await readFile(configFile, 'utf8'), config(aescbc));
});

test('the state of another machine says which file is not there', async (t) => {
  const made = await world(t, { config: config(aescbc) });
  await plan(made, { kind: 'add-key', provider: 'aesgcm' });
  const state = JSON.parse(await readFile(made.stateFile, 'utf8')) as object;
  for (const elsewhere of ['/nowhere/enc.yaml', `${made.configFile}.elsewhere`]) {
    await writeFile(made.stateFile, JSON.stringify({ ...state, configFile: elsewhere }));
    await assert.rejects(run(made), {
      code: 'source-unreadable',
      message: new RegExp(`${elsewhere} cannot be read`),
    });
  }
});

test('what a kill left of a file that was being written is taken away: it holds keys', async (t) => {
  const made = await world(t, { config: config(aescbc) });
  const ofPlan = `${basename(made.stateFile)}.ba9876543210.tmp`;
  await writeFile(join(dirname(made.stateFile), ofPlan), 'cut off');
  await plan(made, { kind: 'add-key', provider: 'aesgcm' });
  assert.ok(!(await readdir(dirname(made.stateFile))).includes(ofPlan));
  const temporaries = [made.stateFile, made.configFile].map((file) => `${file}.0123456789ab.tmp`);
  for (const file of temporaries) await writeFile(file, 'cut off');
  await writeFile(`${made.configFile}.mine.tmp`, 'mine');
  await run(made);
  const left = await readdir(dirname(made.configFile));
  assert.deepEqual(
    left.filter((name) => name.endsWith('.tmp')),
    ['enc.yaml.mine.tmp'],
  );
});

test('every step says when it began and ended, through kills, and why the last run stopped', async (t) => {
  const made = await world(t, {
    config: config(aescbc),
    lag: (server) => (server === 'https://two' ? 1000 : 0),
  });
  await plan(made, { kind: 'add-key', provider: 'aesgcm' });
  await run(made);
  const { begun, stopped } = await readRotationState(made.stateFile);
  assert.equal(begun?.step, 'prove-reader');
  assert.match(stopped?.reason ?? '', /^https:\/\/two: it still has sha256:.*Each must have sha256:/);
  await copyFile(made.configFile, `${dirname(made.configFile)}/two.yaml`);
  const stop = new Error('one step');
  const onStep: RotationTools['onStep'] = (_, phase) => {
    if (phase === 'done') throw stop;
  };
  await assert.rejects(run(made, false, { ...made.tools, onStep }), stop);
  const state = await readRotationState(made.stateFile);
  const [added, proved] = state.done;
  assert.ok(added?.begunAt !== undefined && added.begunAt < added.at);
  assert.equal(proved?.begunAt, begun?.at, 'the first beginning counts');
  assert.ok(Date.parse(proved?.at ?? '') - Date.parse(proved?.begunAt ?? '') > 50_000);
  assert.equal(state.stopped, undefined);
});

test('a server that was not reached is reached by the next run', async (t) => {
  const made = await world(t, { config: config(aescbc), lag: () => 1000 });
  await plan(made, { kind: 'add-key', provider: 'aesgcm' });
  assert.equal((await run(made)).kind, 'stopped');
  const reached: string[] = [];
  const distribute = async (file: string, hash: string): Promise<void> => {
    reached.push(hash);
    for (const name of ['one', 'two', 'three']) await copyFile(file, `${dirname(file)}/${name}.yaml`);
  };
  const ended = await run(made, false, { ...made.tools, distribute });
  assert.equal(ended.kind, 'ready-to-finish', JSON.stringify(ended));
  const { readers, promoted, kept } = ended.state.configurations;
  assert.deepEqual(
    reached,
    [readers, promoted, kept].map(({ hash }) => hash),
  );
});
