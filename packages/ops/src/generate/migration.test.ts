/**
 * Goal: whatever a migration begins with, no API server ever meets a value that it cannot read. Method: random configurations; the files
 * are checked by kube-apiserver's rules and by lint, and the transformers of neighbouring files read each other's values.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  checkEncryptionConfig,
  createEncryptionAtRest,
  type EncryptionAtRest,
} from '@waxseal/encryption-config';
import * as fc from 'fast-check';
import { stringify } from 'yaml';
import { OpsError } from '../errors.js';
import { anyAtLeast } from '../lint/finding.js';
import { lintConfig } from '../lint/lint.js';
import { generateConfig } from './config.js';
import { generateKey } from './key.js';
import { planMigration, plaintextConfig } from './migration.js';
import { formatPlan, migrationPlan } from './plan.js';
import type { MigrationTarget } from './target.js';

const folder = mkdtempSync(join(tmpdir(), 'waxseal-generate-'));
after(() => rmSync(folder, { recursive: true }));

const STATIC_KINDS = ['aescbc', 'aesgcm', 'secretbox'] as const;
const RESOURCES = ['secrets', 'configmaps', 'events', '*.apps', 'widgets.example.com'];
/** What a rule of that name covers. */
const COVERED = [
  { group: '', resource: 'secrets' },
  { group: '', resource: 'configmaps' },
  { group: '', resource: 'events' },
  { group: 'apps', resource: 'deployments' },
  { group: 'example.com', resource: 'widgets' },
];

const secret = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => Buffer.from(bytes).toString('base64'));
const keyed = fc
  .tuple(
    fc.constantFrom(...STATIC_KINDS),
    fc.array(fc.tuple(fc.constantFrom('key1', 'key2', 'old', 'yes'), secret), { minLength: 1, maxLength: 2 }),
  )
  .map(([kind, keys]) => ({ [kind]: { keys: keys.map(([name, value]) => ({ name, secret: value })) } }));
const identity = fc.constant({ identity: {} });
const kms = fc
  .constantFrom('v1', 'v2')
  .map((apiVersion) => ({ kms: { apiVersion, name: '', endpoint: 'unix:///run/old.sock' } }));

type Provider = Readonly<Record<string, unknown>>;

function configText(lists: readonly (readonly Provider[])[], json: boolean): string {
  let kmsNumber = 0;
  const resources = lists.map((providers, i) => ({
    resources: [RESOURCES[i]],
    providers: providers.map((provider) =>
      'kms' in provider ? { kms: { ...(provider['kms'] as object), name: `cloud${kmsNumber++}` } } : provider,
    ),
  }));
  const document = { apiVersion: 'apiserver.config.k8s.io/v1', kind: 'EncryptionConfiguration', resources };
  if (json) return JSON.stringify(document, undefined, 2);
  return `# kept by hand\n${stringify(document, { version: '1.1' }).replace('kind:', '# the kind\nkind:')}`;
}

const configOf = (provider: fc.Arbitrary<Provider>): fc.Arbitrary<string> =>
  fc
    .tuple(
      fc.array(fc.array(provider, { minLength: 1, maxLength: 4 }), {
        minLength: 1,
        maxLength: RESOURCES.length,
      }),
      fc.boolean(),
    )
    .map(([lists, flow]) => configText(lists, flow));

const targets: fc.Arbitrary<MigrationTarget> = fc.oneof(
  fc.tuple(fc.constantFrom(...STATIC_KINDS), secret).map(([kind, value]) => ({ kind, secret: value })),
  fc.constant({ kind: 'identity' } as const),
  fc
    .constantFrom('cloud0', 'new')
    .map((name) => ({ kind: 'kms', name, endpoint: 'unix:///run/new.sock', timeoutMs: 3000 }) as const),
);

/** Undefined when every entry writes so already. */
function migrate(text: string, target: MigrationTarget): ReturnType<typeof planMigration> | undefined {
  try {
    return planMigration({ file: 'current.yaml', text }, target);
  } catch (error) {
    assert.ok(error instanceof OpsError && error.code === 'invalid-option', String(error));
    return undefined;
  }
}

test('every file of every migration is valid, and no change between neighbours loses anything', () => {
  let migrations = 0;
  fc.assert(
    fc.property(configOf(fc.oneof(keyed, identity, kms)), targets, (text, target) => {
      const migration = migrate(text, target);
      const files = migration?.files ?? [];
      migrations += files.length / 3;
      for (const [i, file] of files.entries()) {
        assert.equal(
          checkEncryptionConfig(file.text, { fileName: file.name, kmsV1Enabled: true }).message,
          undefined,
        );
        const previous = { file: 'before', text: files[i - 1]?.text ?? text };
        const changes = lintConfig({ file: file.name, text: file.text }, { previous }).filter(
          ({ where, id }) => where.startsWith('previous:') || id === 'writer-not-read-yet',
        );
        assert.equal(anyAtLeast(changes, 'error'), false, JSON.stringify(changes));
      }
    }),
    { numRuns: 150 },
  );
  assert.ok(migrations > 75, `${migrations} of 150 had something to migrate`);
});

async function open(text: string): Promise<EncryptionAtRest> {
  const file = join(folder, `${randomBytes(8).toString('hex')}.yaml`);
  writeFileSync(file, text, { mode: 0o600 });
  return createEncryptionAtRest({ file });
}

const PLAINTEXT = Buffer.from('{"kind":"Secret"}');

test('servers with neighbouring files read what the other writes; the last file reads all that was rewritten', async () => {
  await fc.assert(
    fc.asyncProperty(
      configOf(fc.oneof(keyed, identity)),
      targets.filter(({ kind }) => kind !== 'kms'),
      async (text, target) => {
        const migration = migrate(text, target);
        const servers = await Promise.all(
          [text, ...(migration?.files ?? []).map((file) => file.text)].map(open),
        );
        const canRead = async (
          writer: EncryptionAtRest | undefined,
          reader: EncryptionAtRest | undefined,
        ): Promise<void> => {
          for (const resource of COVERED) {
            const key = Buffer.from(`/registry/${resource.resource}/default/a`);
            const stored = await writer?.transformerFor(resource).transformToStorage(PLAINTEXT, key);
            const opened = await reader
              ?.transformerFor(resource)
              .transformFromStorage(stored ?? Buffer.alloc(0), key);
            assert.deepEqual(opened?.data, PLAINTEXT);
          }
        };
        for (const [i, server] of servers.slice(1).entries()) {
          await canRead(servers[i], server);
          await canRead(server, servers[i]);
        }
        // Also what was stored before the migration began, until it is rewritten.
        await canRead(servers[0], servers[Math.min(2, servers.length - 1)]);
        await Promise.all(servers.map((server) => server.close()));
      },
    ),
    { numRuns: 25 },
  );
});

const CURRENT = `# our cluster
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources:
      - events
    providers:
      - identity: {} # too many
  - resources:
      - secrets
    providers:
      # made in 2021
      - aescbc:
          keys:
            - name: key1
              secret: wqmuKCr2d5pwZe8J0hbOVnDJ2uTTdoQlxJrFMX2bY9U=
      - identity: {}
`;

test('comments stay, an entry that leaves resources out stays, and the plan names every step', () => {
  const migration = planMigration(
    { file: 'enc.yaml', text: CURRENT },
    { kind: 'secretbox', secret: generateKey(randomBytes) },
  );
  const [first, second, third] = migration.files;
  for (const { text, commentsKept } of migration.files) {
    assert.equal(commentsKept, true);
    assert.match(text, /# our cluster/);
    assert.match(text, /identity: \{\} # too many/);
  }
  assert.match(first.text, /# made in 2021\n[^]*aescbc[^]*secretbox[^]*identity: \{\}\n$/);
  assert.match(second.text, /secretbox[^]*name: key2[^]*# made in 2021[^]*aescbc/);
  assert.doesNotMatch(third.text, /aescbc/);
  assert.deepEqual(migration.untouched, [['events']]);
  assert.deepEqual([migration.writers, migration.retiredKeys], [['secretbox key "key2"'], ['aescbc:key1']]);
  const plan = migrationPlan(migration, {
    currentFile: 'enc.yaml',
    servers: ['https://a:6443', 'https://b:6443'],
  });
  assert.deepEqual(
    plan.flatMap(({ file }) => file ?? []),
    migration.files.map(({ name }) => name),
  );
  const text = formatPlan(plan, []);
  assert.ok(text.includes(second.contentHash) && text.includes('--server https://b:6443'));
  assert.ok(text.includes('waxseal retire') && text.includes('--key aescbc:key1'));
  assert.doesNotMatch(text, /wqmuKCr2/);
});

test('the first encryption: the first file still writes plaintext', () => {
  const text = plaintextConfig(['secrets', '*.apps']);
  const { files } = planMigration(
    { file: 'none', text },
    { kind: 'kms', name: 'cloud', endpoint: 'unix:///run/k.sock', timeoutMs: 3000 },
  );
  const writes = files.map((file) => /providers:\n\s+- (\w+)/.exec(file.text)?.[1]);
  assert.deepEqual(writes, ['identity', 'kms', 'kms']);
});

test('a list of providers that entries share by an anchor is written anew, for each its own', () => {
  const text = CURRENT.replace('providers:\n      - identity: {} # too many', 'providers: *list').replace(
    /^resources:$/m,
    'resources:\n  - resources: [configmaps]\n    providers: &list [aesgcm: { keys: [{ name: b, secret: 3mZlB0wJYl0cS0qDg1sWn1xJm6JkMmAcn5QCMn3S8wE= }] }]',
  );
  const target = { kind: 'kms', name: 'cloud', endpoint: 'unix:///run/k.sock', timeoutMs: 3000 } as const;
  const { files } = planMigration({ file: 'enc.yaml', text }, target);
  assert.deepEqual(
    files.map(({ commentsKept }) => commentsKept),
    [false, false, false],
  );
  assert.deepEqual(files[2].text.match(/name: .*/g), ['name: cloud', 'name: cloud-2', 'name: cloud-3']);
});

test('what cannot be is refused with a sentence', () => {
  const plan = (text: string, target: MigrationTarget) => () =>
    planMigration({ file: 'enc.yaml', text }, target);
  const value = generateKey(randomBytes);
  const refused = (code: string, words: RegExp) => (error: unknown) =>
    error instanceof OpsError && error.code === code && words.test(error.message);
  assert.throws(plan('kind: Other', { kind: 'identity' }), refused('config-invalid', /enc\.yaml/));
  assert.throws(
    plan(CURRENT, { kind: 'aesgcm', keyName: 'key1', secret: value }),
    refused('invalid-option', /key1/),
  );
  assert.throws(
    plan(CURRENT, { kind: 'aesgcm', keyName: 'a:b', secret: value }),
    refused('invalid-option', /':'/),
  );
  assert.throws(
    plan(plaintextConfig(['secrets']), { kind: 'identity' }),
    refused('invalid-option', /nothing/),
  );
  assert.throws(() => generateConfig(['*'], { kind: 'identity' }), refused('invalid-option', /\*/));
});

test('a first configuration is valid, and 1,000 keys are 32 bytes and all different', () => {
  const text = generateConfig(['secrets', '*.apps'], { kind: 'aesgcm', secret: generateKey(randomBytes) });
  assert.deepEqual(checkEncryptionConfig(text, { fileName: 'x' }).resources, ['secrets', '*.apps']);
  const keys = Array.from({ length: 1000 }, () => generateKey(randomBytes));
  assert.equal(new Set(keys).size, 1000);
  assert.ok(keys.every((key) => Buffer.from(key, 'base64').length === 32));
});
