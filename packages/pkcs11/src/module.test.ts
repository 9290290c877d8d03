/** Loading a module and opening its tokens, with a real one: SoftHSM2. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Pkcs11Error } from './errors.js';
import { openPkcs11Module } from './module.js';
import { createSoftHsm, type SoftHsm } from './testing/soft-hsm.js';
import type { Pkcs11Module } from './token.js';

let hsm: SoftHsm;
let module: Pkcs11Module;
before(async () => {
  hsm = await createSoftHsm({ tokenLabels: ['first', 'twin', 'twin', 'locking'] });
  module = await openPkcs11Module(hsm.modulePath);
});
after(() => hsm.remove());

const refused = (code: Pkcs11Error['code'], text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Pkcs11Error);
  assert.equal(error.code, code);
  assert.match(error.message, text);
  return true;
};

test('a module is loaded once, whatever its path is called', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-pkcs11-'));
  await symlink(hsm.modulePath, join(folder, 'module.so'));
  assert.equal(await openPkcs11Module(join(folder, 'module.so')), module);
  await rm(folder, { recursive: true });
  assert.equal(module.info.manufacturer, 'SoftHSM');
  assert.equal(module.info.cryptokiVersion, '2.40');
});

test('the module and its libcrypto come from .tools, not from the machine', async () => {
  const maps = await readFile('/proc/self/maps', 'utf8');
  const paths = new Set(maps.split('\n').map((line) => line.slice(73)));
  const libcrypto = [...paths].filter((path) => path.endsWith('libcrypto.so.3'));
  assert.deepEqual(libcrypto, [hsm.modulePath.replace('libsofthsm2.so', 'libcrypto.so.3')]);
});

test('slots show their tokens', async () => {
  const slots = await module.slots();
  const labels = slots.flatMap(({ token }) => (token?.initialized === true ? [token.label] : []));
  assert.deepEqual(labels.toSorted(), ['first', 'locking', 'twin', 'twin']);
  const [token] = slots.flatMap((slot) => slot.token ?? []);
  assert.equal(token?.model, 'SoftHSM v2');
  assert.match(token?.serialNumber ?? '', /^[0-9a-f]{16}$/);
});

test('a token is opened by label, serial number or slot; the PIN given is zeroed', async () => {
  const pin = hsm.pin();
  const token = await module.openToken({ label: 'first', pin });
  assert.ok(pin.every((byte) => byte === 0));
  const { slotId, serialNumber } = token.info;
  const bySlot = await module.openToken({ slotId, pin: hsm.pin() });
  const bySerial = await module.openToken({ serialNumber, label: 'first', pin: hsm.pin() });
  assert.equal(bySlot.info.serialNumber, serialNumber);
  assert.equal(bySerial.info.slotId, slotId);
  await Promise.all([token.close(), bySlot.close(), bySerial.close()]);
  await token.close();
  await assert.rejects(token.generateRandom(8), refused('closed', /Open it again/));
});

test('two tokens of one label need a serial number', async () => {
  await assert.rejects(
    module.openToken({ label: 'twin', pin: hsm.pin() }),
    refused('token-ambiguous', /2 tokens .* Name one by its serial number/),
  );
  const twin = (await module.slots()).find(({ token }) => token?.label === 'twin')?.token;
  const token = await module.openToken({ serialNumber: twin?.serialNumber, pin: hsm.pin() });
  assert.equal(token.info.label, 'twin');
  await token.close();
});

test('a token that is not there is named, with those that are', async () => {
  await assert.rejects(
    module.openToken({ label: 'other', pin: hsm.pin() }),
    refused('token-not-found', /no initialized token with label 'other'. It has: .*'first'/),
  );
});

test('a wrong PIN is tried once and says so', async () => {
  await assert.rejects(module.openToken({ label: 'locking', pin: Buffer.from('000000') }), (error) => {
    assert.ok(error instanceof Pkcs11Error);
    assert.equal(error.code, 'pin-incorrect');
    assert.equal(error.rv, 'CKR_PIN_INCORRECT');
    assert.match(error.message, /tried once/);
    assert.doesNotMatch(error.message, /000000/);
    return true;
  });
  const token = await module.openToken({ label: 'locking', pin: hsm.pin() });
  await token.close();
});

test('a wrong PIN is refused too while somebody else is logged in', async () => {
  const token = await module.openToken({ label: 'first', pin: hsm.pin() });
  await assert.rejects(
    module.openToken({ label: 'first', pin: Buffer.from('624818') }),
    refused('pin-incorrect', /tried once/),
  );
  assert.equal((await token.generateRandom(16)).length, 16);
  await token.close();
});

test('what is no module is refused with the reason', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-pkcs11-'));
  const text = join(folder, 'text.so');
  await writeFile(text, 'not a library');
  await assert.rejects(
    openPkcs11Module(join(folder, 'absent.so')),
    refused('module-unreadable', /absent\.so/),
  );
  await assert.rejects(openPkcs11Module(text), refused('module-unreadable', /text\.so/));
  await assert.rejects(
    openPkcs11Module(hsm.modulePath.replace('libsofthsm2.so', 'libcrypto.so.3')),
    refused('module-unreadable', /no PKCS#11 module/),
  );
  await assert.rejects(openPkcs11Module('relative.so'), refused('invalid-option', /absolute/));
  await rm(folder, { recursive: true });
});
