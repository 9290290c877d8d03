/** Goal: configuration files are judged as the reference judges them. Method: its verdicts, and cases of its own tests. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { checkEncryptionConfig } from './check.js';

const folder = new URL('../../../test/vectors/config/', import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, folder), 'utf8');
const verdicts = JSON.parse(read('verdicts.json')) as readonly {
  readonly file: string;
  readonly error?: string;
  readonly resources?: readonly string[];
  readonly healthChecks?: readonly string[] | null;
}[];

const kind = 'apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n';
const key16 = 'AAECAwQFBgcICQoLDA0ODw==';
const check = (text: string, automaticReload = false) =>
  checkEncryptionConfig(text, { fileName: 'f.yaml', kmsV1Enabled: true, automaticReload });
const problems = (text: string, automaticReload = false): readonly string[] =>
  check(text, automaticReload).errors.map(({ field, message }) => `${field}: ${message}`);
const withProvider = (provider: string, resources = '[secrets]'): string =>
  `${kind}resources:\n- resources: ${resources}\n  providers:\n  - ${provider}\n`;
const withKms = (fields: string): string =>
  withProvider(`kms: {apiVersion: v2, name: a, endpoint: "unix:///a", ${fields}}`);

test('there are verdicts to agree with', () => {
  assert.ok(verdicts.length >= 30);
});

for (const verdict of verdicts) {
  test(`${verdict.file}: as the reference judges it`, () => {
    const result = checkEncryptionConfig(read(verdict.file), { fileName: verdict.file, kmsV1Enabled: true });
    assert.equal(result.errors.length > 0, verdict.error !== undefined, result.message ?? 'accepted');
    // The reference keeps them in a map, without order.
    assert.deepEqual(result.resources.toSorted(), (verdict.resources ?? []).toSorted());
    assert.deepEqual(result.healthChecks, verdict.healthChecks ?? []);
    // Of validation errors field and reason agree; the value shown may differ where the reference prints a key.
    const [, field, reason] =
      /parsing file: (resources\S*): .*?(?:value|}|"|\]): ([^:]*)$/.exec(verdict.error ?? '') ?? [];
    const expected = field === undefined ? [] : [field];
    assert.deepEqual(
      expected.filter((f) => result.errors[0]?.field !== f),
      [],
    );
    assert.ok((result.errors[0]?.message ?? '').endsWith(reason ?? ''), `${result.message} / ${reason}`);
  });
}

test('wherever the reference shows no key material, the message is the same to the letter', () => {
  const theirs = verdicts.filter(
    ({ error }) => error !== undefined && !/decoding|Invalid value: \{/.test(error),
  );
  assert.ok(theirs.length >= 15);
  for (const { file, error } of theirs) {
    const result = checkEncryptionConfig(read(file), { fileName: file, kmsV1Enabled: true });
    assert.equal(result.message, error, file);
  }
});

test('edge cases of YAML, durations, endpoints and names are judged as the reference judges them', () => {
  const cases = JSON.parse(read('../config-edge-cases.json')) as readonly {
    readonly name: string;
    readonly text: string;
    /** `decoding`, whose words need not agree, or the whole message. */
    readonly error?: string;
    readonly resources?: readonly string[];
    readonly healthChecks?: readonly string[] | null;
  }[];
  assert.ok(cases.length >= 200);
  // Messages that differ on purpose or by how Go quotes a control character.
  const otherWords = ['admission', 'e10', 'twoprov', 'threeprov'];
  for (const { name, text, error, resources, healthChecks } of cases) {
    const result = checkEncryptionConfig(text, { fileName: `c/${name}`, kmsV1Enabled: true });
    assert.equal(result.errors.length > 0, error !== undefined, `${name}: ${result.message ?? 'accepted'}`);
    // The reference's own name of `*.` is `*`.
    const names = result.resources.map((resource) => (resource === '*.' ? '*' : resource));
    assert.deepEqual(names.toSorted(), resources ?? [], name);
    assert.deepEqual(result.healthChecks, healthChecks ?? [], name);
    const comparable = error !== 'decoding' && !otherWords.includes(name);
    assert.equal(comparable ? result.message : error, error, name);
  }
});

test('KMS v1 needs the switch', () => {
  const text = withProvider('kms: {name: a, endpoint: "unix:///a"}');
  const refused = checkEncryptionConfig(text, { fileName: 'f.yaml' });
  assert.deepEqual(
    refused.errors.map((e) => e.field),
    ['resources[0].providers[0].kms.apiVersion'],
  );
  assert.match(refused.message ?? '', /KMSv1 is deprecated/);
  assert.deepEqual(check(text).healthChecks, ['kms-provider-0']);
});

test('with automatic reload one check stands for all plugins, also for none', () => {
  assert.deepEqual(check(withProvider('identity: {}'), true).healthChecks, ['kms-providers']);
  assert.deepEqual(check(withProvider('kms: {name: a, endpoint: "unix:///a"}'), true).healthChecks, [
    'kms-providers',
  ]);
});

test('names, timeouts, cache sizes and endpoints of KMS providers', () => {
  const at = 'resources[0].providers[0].kms';
  const cases: Record<string, string[]> = {
    'timeout: 0s': [`${at}.timeout: Invalid value: "0s": timeout should be a positive value`],
    'timeout: -1m30s': [`${at}.timeout: Invalid value: "-1m30s": timeout should be a positive value`],
    'timeout: 500ms': [],
    'timeout: null': [],
    'cachesize: 10': [`${at}.cachesize: Invalid value: 10: cachesize is not supported in v2`],
    'apiVersion: v1, cachesize: 0': [
      `${at}.cachesize: Invalid value: 0: cachesize should be a positive value, or negative to disable`,
    ],
    'apiVersion: v1, cachesize: -1': [],
    'name: ""': [`${at}.name: Required value: name is a mandatory field for a provider`],
    'endpoint: "unix:/a"': [],
    'endpoint: "UNIX:///a"': [],
    'endpoint: "/a"': [
      `${at}.endpoint: Invalid value: "/a": unsupported scheme "" for KMS provider, only unix is supported`,
    ],
    'endpoint: ":a"': [
      `${at}.endpoint: Invalid value: ":a": invalid endpoint for kms provider, error: parse ":a": missing protocol scheme`,
    ],
    'endpoint: "unix:///%zz"': [
      `${at}.endpoint: Invalid value: "unix:///%zz": invalid endpoint for kms provider, error: parse "unix:///%zz": invalid URL escape "%zz"`,
    ],
  };
  for (const [fields, expected] of Object.entries(cases)) {
    const text = withProvider(
      `kms: ${JSON.stringify({ apiVersion: 'v2', name: 'a', endpoint: 'unix:///a' })}`,
    );
    const merged = text.replace('- kms: {', `- kms: {<<: {${fields}}, `);
    const overridden = merged.replace(/"(apiVersion|name|endpoint)":"[^"]*",?/g, (all, name: string) =>
      fields.includes(`${name}:`) ? '' : all,
    );
    assert.deepEqual(problems(overridden), expected, fields);
  }
});

test('a KMS v1 name may repeat unless configurations are reloaded', () => {
  const twice = withProvider(
    'kms: {name: a, endpoint: "unix:///a"}\n  - kms: {name: a, endpoint: "unix:///b"}',
  );
  assert.deepEqual(problems(twice), []);
  assert.deepEqual(problems(twice, true), [
    'resources[0].providers[1].kms.name: Invalid value: "a": duplicate KMS provider name a, names must be unique',
  ]);
});

test('resource names', () => {
  const of = (resources: string): readonly string[] => problems(withProvider('identity: {}', resources));
  const at = 'resources[0].resources';
  const overlap =
    "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked";
  assert.deepEqual(of('["*.*"]'), []);
  assert.deepEqual(of('["*.", "*.apps", events]'), [
    `${at}: Invalid value: ["*.","*.apps","events"]: ${overlap}`,
  ]);
  assert.deepEqual(of('[Secrets]'), [
    `${at}[0]: Invalid value: "Secrets": resource name should not contain capital letters`,
  ]);
  assert.deepEqual(of('[secrets, secrets]'), [
    `${at}: Invalid value: ["secrets","secrets"]: the same resource cannot be specified multiple times`,
  ]);
  assert.deepEqual(of('["secrets.*"]'), [
    `${at}[0]: Invalid value: "secrets.*": encrypting the same resource across groups is not supported`,
  ]);
  assert.match(of('[events.events.k8s.io]').join(), /Use 'events' instead in the config file$/);
});

test('a rule behind a wildcard that covers it is masked; one before it is not', () => {
  const rules = (...names: string[]): readonly string[] =>
    problems(
      `${kind}resources:\n${names.map((name) => `- resources: ['${name}']\n  providers: [{identity: {}}]\n`).join('')}`,
    );
  assert.deepEqual(rules('secrets', '*.', '*.apps', '*.*'), []);
  assert.deepEqual(rules('*.', 'secrets'), [': resource "secrets" is masked by earlier rule "*."']);
  assert.deepEqual(rules('*.*', 'a.b'), [': resource "a.b" is masked by earlier rule "*.*"']);
  assert.deepEqual(rules('secrets', 'secrets'), []);
});

test('types and syntax: the error names the place and never quotes the file', () => {
  const secret = 'c2VjcmV0IGlzIHNlY3VyZQ';
  const cases: Record<string, RegExp> = {
    [withProvider(`aesgcm: {keys: [{name: 1, secret: ${secret}}]}`)]: /keys\[0\]\.name: must be a string/,
    [withProvider(`aesgcm: {keys: [{name: yes, secret: ${secret}}]}`)]:
      /must be a string \(quote it\), not a boolean/,
    [withProvider(`aesgcm: {keys: ${secret}}`)]: /aesgcm\.keys: must be a list, not a string/,
    [withProvider(`aesgcm: ${secret}`)]: /aesgcm: must be a map, not a string/,
    [withProvider(`aesgcm: {keys: [{name: a, secret: [${secret}]}]}`)]: /secret: must be a string/,
    [withProvider(`aesgcm: {keys: [{name: a, secret: "${secret}}]}`)]: /yaml: line \d+, column \d+/,
    [`{"kind": "EncryptionConfiguration", "x": "${secret}`]: /not valid JSON/,
    [`kind: EncryptionConfiguration\nsecret: ${secret}`]: /'apiVersion' is missing/,
    [`apiVersion: v1\nsecret: ${secret}`]: /'Kind' is missing/,
    [`apiVersion: v1\nkind: EncryptionConfiguration\nresources: ${secret}`]:
      /no kind "EncryptionConfiguration"/,
    [withKms('timeout: 3')]: /kms\.timeout: must be a duration/,
    [withKms('timeout: 3 s')]: /unknown unit " s" in duration/,
    [withKms('cachesize: 1.5')]: /cachesize: must be a 32-bit integer/,
    [withKms('cacheSize: 1')]:
      /strict decoding error: unknown field "resources\[0\]\.providers\[0\]\.kms\.cacheSize"/,
    [`${kind}a: &a [*a]`]: /decoding/,
    [`${kind}resources: *nowhere`]: /decoding/,
    [`${kind}${'['.repeat(1000)}`]: /decoding/,
    '': /is empty/,
    '# nothing': /'Kind' is missing/,
  };
  for (const [text, expected] of Object.entries(cases)) {
    const { message } = check(text);
    assert.match(message ?? 'accepted', expected);
    assert.ok(!(message ?? '').includes(secret), message);
  }
});

test('an alias bomb is refused quickly', () => {
  const levels = Array.from(
    { length: 30 },
    (_, i) =>
      `a${i}: &a${i} [${Array(10)
        .fill(`*a${i - 1}`)
        .join()}]`,
  );
  const text = `${kind}${levels.join('\n').replace(/\*a-1/g, 'x')}`;
  assert.match(check(text).message ?? 'accepted', /too many aliases/);
});

test('a document that is nested too deeply is refused before it is built', () => {
  for (const level of ['- ', '? ', '[', 'a: [', '- ? ']) {
    assert.match(check(level.repeat(5_000)).message ?? 'accepted', /too large or nested too deeply/, level);
  }
});

test('JSON is read too, and a repeated field in it is found', () => {
  const json = `{"kind":"EncryptionConfig","apiVersion":"v1","resources":[{"resources":["secrets"],"providers":[{"secretbox":{"keys":[{"name":"a","secret":"${key16.replace('==', '')}aaaaaaaaaaaaaaaaaaaaa="}]}}]}]}`;
  assert.deepEqual(problems(json), []);
  assert.match(problems(json.replace('"kind"', '"kind":"x","kind"')).join(), /key "kind" already set in map/);
});

test('only the first document of a file counts', () => {
  assert.deepEqual(problems(`${withProvider('identity: {}')}---\nnot: [closed`), []);
});

test('several faults are all told', () => {
  const text = withProvider(
    `aesgcm: {keys: [{secret: x}, {name: b}]}\n  - kms: {apiVersion: v2}`,
    '[A, "*"]',
  );
  assert.deepEqual(
    check(text).errors.map(({ field }) => field),
    [
      'resources[0].resources',
      'resources[0].resources[0]',
      'resources[0].resources[1]',
      'resources[0].providers[0].aesgcm.keys[0].name',
      'resources[0].providers[0].aesgcm.keys[0].secret',
      'resources[0].providers[0].aesgcm.keys[1].secret',
      'resources[0].providers[1].kms.name',
      'resources[0].providers[1].kms.endpoint',
    ],
  );
});
