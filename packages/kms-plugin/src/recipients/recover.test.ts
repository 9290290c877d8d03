/** Recovery by an escrow identity alone: the right one opens, everything else says why not. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Decrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { KmsPluginError } from '../errors.js';
import { createLocalProvider } from '../providers/local.js';
import { createKeyring } from '../providers/local-keyring.js';
import { tempFolder } from '../testing/temp-folder.js';
import { annotationName, parseAnnotation, type PrimaryPart } from './annotation.js';
import { parseEscrowIdentity } from './escrow-identity.js';
import { createEscrowKey } from './escrow-key.js';
import { createKeyGroup } from './key-group.js';
import { recoverDekSource } from './recover.js';

interface KeyPair {
  readonly publicText: string;
  readonly identityText: string;
}

async function agePair(): Promise<KeyPair> {
  const identity = await generateX25519Identity();
  const publicText = await identityToRecipient(identity);
  return { publicText, identityText: `# created: today\n# public key: ${publicText}\n${identity}\n` };
}

function rsaPair(): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return {
    publicText: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    identityText: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

async function sealed(t: TestContext, publicText: string, dek: Buffer): Promise<PrimaryPart> {
  const keyringFile = join(await tempFolder(t), 'keyring.json');
  await createKeyring(keyringFile);
  const provider = await createLocalProvider({ keyringFile });
  const group = createKeyGroup({
    primary: { provider },
    recipients: [
      { name: 'second', provider },
      { name: 'safe', escrow: await createEscrowKey(publicText) },
    ],
  });
  t.after(() => group.close());
  const snapshot = group.snapshot();
  return {
    ...(await group.encrypt(snapshot, dek, new AbortController().signal)),
    keyId: snapshot.keyId,
  };
}

const failing = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof KmsPluginError && error.code === 'recovery_failed', String(error));
  assert.match(error.message, message);
  return true;
};

for (const [kind, pair] of Object.entries({ age: agePair, rsa: async () => rsaPair() })) {
  test(`${kind}: the private half recovers, another one does not`, async (t) => {
    const [own, other] = [await pair(), await pair()];
    const dek = randomBytes(32);
    const value = await sealed(t, own.publicText, dek);
    const identity = await parseEscrowIdentity(own.identityText);
    assert.deepEqual(await recoverDekSource(value, identity), { dekSource: dek, recipient: 'safe' });
    await assert.rejects(
      recoverDekSource(value, await parseEscrowIdentity(other.identityText)),
      failing(/second: wrapped for a key service.*\n.*safe: wrapped for another escrow key/),
    );
  });

  test(`${kind}: a value whose parts were mixed or changed is not recovered`, async (t) => {
    const own = await pair();
    const identity = await parseEscrowIdentity(own.identityText);
    const [one, two] = [
      await sealed(t, own.publicText, randomBytes(32)),
      await sealed(t, own.publicText, randomBytes(32)),
    ];
    await assert.rejects(
      recoverDekSource({ ...one, annotations: two.annotations }, identity),
      failing(/safe: belongs to another value/),
    );
    await assert.rejects(
      recoverDekSource({ ...one, keyId: 'another' }, identity),
      failing(/belongs to another/),
    );
    await assert.rejects(
      recoverDekSource({ ...one, annotations: {} }, identity),
      failing(/without recipients/),
    );
    const name = annotationName('safe');
    const bytes = one.annotations[name] ?? Buffer.alloc(0);
    for (let i = 0; i < 40; i++) {
      const changed = Buffer.from(bytes);
      const at = Math.floor((i * bytes.length) / 40);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      await assert.rejects(
        recoverDekSource({ ...one, annotations: { [name]: changed } }, identity),
        failing(/safe: /),
      );
    }
  });
}

test('what is wrapped for an age recipient is an age file', async (t) => {
  const own = await agePair();
  const dek = randomBytes(32);
  const value = await sealed(t, own.publicText, dek);
  const annotation = parseAnnotation(value.annotations[annotationName('safe')] ?? Buffer.alloc(0));
  assert.ok(annotation !== undefined);
  assert.ok(annotation.ciphertext.toString('latin1').startsWith('age-encryption.org/v1\n-> X25519 '));
  const decrypter = new Decrypter();
  decrypter.addIdentity(own.identityText.trim().split('\n').at(-1) ?? '');
  assert.deepEqual(Buffer.from(await decrypter.decrypt(annotation.ciphertext)), dek);
});

test('identity files that cannot be used are refused without quoting them', async () => {
  const { identityText } = await agePair();
  const damaged = identityText.trim().replace(/.$/, (last) => (last === 'Q' ? 'P' : 'Q'));
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  for (const text of [
    '',
    '# nothing\n',
    'AGE-SECRET-KEY-1',
    damaged,
    'age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj',
    rsaPair().publicText,
    ec.export({ type: 'pkcs8', format: 'pem' }).toString(),
    '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n',
  ]) {
    await assert.rejects(parseEscrowIdentity(text), (error) => {
      assert.ok(error instanceof KmsPluginError && error.code === 'invalid_options');
      assert.doesNotMatch(error.message, /AGE-SECRET-KEY-1[02-9A-Z]|AAAA/);
      return true;
    });
  }
});
