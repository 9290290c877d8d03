// Goal: the value of a generated key cannot be read, whoever asks. Method: C_GetAttributeValue itself, in a session that is logged in.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CKA, CKF, CKR } from './constants.js';
import { loadCryptoki } from './cryptoki.js';
import { openPkcs11Module } from './module.js';
import { readUlong, ULONG_BYTES } from './native-memory.js';
import { findKeyObjects } from './objects.js';
import { createSoftHsm } from './testing/soft-hsm.js';

test('CKA_VALUE of a generated key is refused as sensitive', async (t) => {
  const hsm = await createSoftHsm();
  t.after(() => hsm.remove());
  const module = await openPkcs11Module(hsm.modulePath);
  const token = await module.openToken({ label: hsm.tokenLabel, pin: hsm.pin() });
  t.after(() => token.close());
  const label = 'not to be read';
  await token.generateAesKey({ label, id: Buffer.from([1]), bytes: 32, encryptDecrypt: true });

  const cryptoki = await loadCryptoki(hsm.modulePath);
  const flags = CKF.CKF_SERIAL_SESSION | CKF.CKF_RW_SESSION;
  const handle = await cryptoki.withMemory(async (memory) => {
    const session = memory.reserve(ULONG_BYTES);
    await cryptoki.checked('C_OpenSession', token.info.slotId, flags, null, null, session);
    return readUlong(session) ?? 0;
  });
  const [found, second] = await findKeyObjects(cryptoki, { handle, generation: 0 }, { label });
  assert.ok(found !== undefined && second === undefined);
  const { rv, value } = await cryptoki.withMemory(async (memory) => {
    const room = memory.reserve(32);
    const template = memory.struct(CKA.CKA_VALUE, memory.pointer(room), room.length);
    const answered = await cryptoki.call('C_GetAttributeValue', handle, found.handle, template, 1);
    return { rv: answered, value: Buffer.from(room) };
  });
  assert.equal(rv, CKR.CKR_ATTRIBUTE_SENSITIVE);
  assert.deepEqual(value, Buffer.alloc(32));
  await cryptoki.checked('C_CloseSession', handle);
});
