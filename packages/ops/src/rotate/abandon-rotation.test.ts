// Goal: a rotation that was begun can be given up without losing an object: before the new key writes the file becomes what it was, after
// that the old key becomes the writer again; where there is no safe way back it says why. Method: the cluster in one process.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { appendFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { test, type TestContext } from 'node:test';
import { abandonRotation } from './abandon-rotation.js';
import { planRotation } from './plan-rotation.js';
import { nextStep, readRotationState, ROTATION_STEPS, type RotationStep } from './rotation-state.js';
import { withRotationLock } from './rotation-lock.js';
import { runRotation, type RotationOutcome } from './run-rotation.js';
import { createWorld, type RotationWorld } from './testing/rotation-world.js';

const ORIGINAL = `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]   # laid out by hand
  providers:
  - aescbc: {keys: [{name: key1, secret: ${Buffer.alloc(32, 1).toString('base64')}}]}
`;

async function planned(t: TestContext): Promise<RotationWorld> {
  const made = await createWorld({ config: ORIGINAL });
  t.after(() => made.close());
  for (const server of made.servers) await made.write(server, `first-${server.slice(-3)}`);
  const { stateFile, configFile, tools } = made;
  const change = { kind: 'add-key', provider: 'secretbox', name: 'new' } as const;
  await planRotation({ stateFile, configFile, change, randomBytes, now: tools.now });
  return made;
}

const run = (made: RotationWorld, finish = false): Promise<RotationOutcome> =>
  runRotation(made.stateFile, finish, made.tools);
const abandon = ({ stateFile, tools }: RotationWorld) =>
  abandonRotation({ stateFile, randomBytes, now: tools.now });

/** Runs until the step is done; `kill` ends the run once it is, before it is noted. */
async function runUntil(made: RotationWorld, last: RotationStep, phase: 'noted' | 'kill'): Promise<void> {
  const stop = new Error('stopped');
  const { stateFile, tools } = made;
  const saved: Buffer[] = [];
  const distribute = async (): Promise<void> => {
    saved.push(await readFile(stateFile));
  };
  const onStep = (step: RotationStep, when: 'begins' | 'done'): void => {
    if (step === last && when === 'done') throw stop;
  };
  await assert.rejects(runRotation(stateFile, true, { ...tools, distribute, onStep }), stop);
  const [before] = saved.slice(-1);
  if (phase === 'kill' && before !== undefined) await writeFile(stateFile, before);
}

async function compact({ store }: RotationWorld): Promise<void> {
  await store.compact((await store.status()).revision);
}

test('before anything was written the plan is dropped at once', async (t) => {
  const made = await planned(t);
  const state = await abandon(made);
  assert.equal(nextStep(state), undefined);
  assert.equal((await run(made)).kind, 'abandoned');
  assert.ok(!(await readFile(made.stateFile, 'utf8')).includes('secret:'), 'no key is left in the state');
  assert.equal(await readFile(made.configFile, 'utf8'), ORIGINAL);
});

for (const [step, phase] of [
  ['add-reader', 'kill'],
  ['add-reader', 'noted'],
  ['prove-reader', 'noted'],
] as const) {
  test(`after ${step}, ${phase}: the file is what it was, on every server`, async (t) => {
    const made = await planned(t);
    await runUntil(made, step, phase);
    assert.notEqual(await readFile(made.configFile, 'utf8'), ORIGINAL);
    const state = await abandon(made);
    assert.equal(nextStep(state), 'restore');
    assert.equal((await run(made)).kind, 'abandoned');
    assert.equal(await readFile(made.configFile, 'utf8'), ORIGINAL);
    assert.equal(await made.readAll(), 3);
    const { stateFile, configFile, tools } = made;
    // And the next one may begin.
    await planRotation({
      stateFile,
      configFile,
      change: { kind: 'to-identity' },
      randomBytes,
      now: tools.now,
    });
  });
}

const PROMOTED = ROTATION_STEPS.slice(
  ROTATION_STEPS.indexOf('promote'),
  ROTATION_STEPS.indexOf('prove-kept') + 1,
);
for (const step of PROMOTED) {
  test(`after ${step}: the old key writes again, and everything is under it`, async (t) => {
    const made = await planned(t);
    await runUntil(made, step, 'noted');
    await made.write('https://two', 'under-new');
    const state = await abandon(made);
    assert.equal(nextStep(state), 'add-reader');
    assert.deepEqual(state.oldKeys, ['secretbox:new']);
    const ready = await run(made);
    assert.equal(ready.kind, 'ready-to-finish', JSON.stringify(ready));
    await made.readAll();
    assert.match(await made.stored('under-new'), /^k8s:enc:aescbc:v1:key1:/);
    await compact(made);
    assert.equal((await run(made, true)).kind, 'finished');
    assert.equal(await readFile(made.configFile, 'utf8'), ORIGINAL, 'to the byte');
    assert.equal(await made.readAll(), 4);
  });
}

test('promoted but not noted counts as promoted', async (t) => {
  const made = await planned(t);
  await runUntil(made, 'promote', 'kill');
  assert.equal(nextStep(await readRotationState(made.stateFile)), 'promote');
  assert.equal((await abandon(made)).undoes !== undefined, true);
});

test('where there is no safe way back it says why, and changes nothing', async (t) => {
  const made = await planned(t);
  await runUntil(made, 'promote', 'noted');
  const refuses = async (message: RegExp): Promise<void> => {
    const before = await readFile(made.stateFile);
    await assert.rejects(abandon(made), { code: 'state-invalid', message });
    assert.deepEqual(await readFile(made.stateFile), before);
  };
  const file = await readFile(made.configFile);
  await appendFile(made.configFile, '# mine\n');
  await refuses(/changed by somebody else/);
  await writeFile(made.configFile, file);
  await withRotationLock(made.stateFile, () =>
    refuses(new RegExp(`process ${process.pid} works on the rotation`)),
  );
  await run(made);
  await compact(made);
  await runUntil(made, 'retire', 'noted');
  await refuses(/may be deleted already/);
  assert.equal((await run(made, true)).kind, 'finished');
  await refuses(/at its end/);
});

test('a way back is gone to its end', async (t) => {
  const made = await planned(t);
  await runUntil(made, 'promote', 'noted');
  await abandon(made);
  await assert.rejects(abandon(made), { code: 'state-invalid', message: /the way back already/ });
  const other = await planned(t);
  await runUntil(other, 'add-reader', 'noted');
  await abandon(other);
  await assert.rejects(abandon(other), { code: 'state-invalid', message: /abandoned already/ });
});

test('a rewrap that was cut off leaves no progress behind when it is given up', async (t) => {
  const made = await planned(t);
  await runUntil(made, 'prove-promoted', 'noted');
  const { id } = await readRotationState(made.stateFile);
  await writeFile(`${made.stateFile}.${id}.rewrap`, 'cut off');
  await abandon(made);
  const left = await readdir(dirname(made.stateFile));
  assert.deepEqual(
    left.filter((name) => name.endsWith('.rewrap')),
    [],
  );
});
