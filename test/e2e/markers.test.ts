/**
 * Goal: no plaintext, key or credential is ever written where it does not belong. Method: markers go through every door,
 * also in requests that fail; then everything the servers wrote or said is searched: the data directory, the log at its
 * most talkative level, the metrics of every part, the audit trail, the error messages.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { apiOf, secret } from '../support/api.js';
import { clientsOf } from '../support/programs.js';
import { startUp, temporaryFolder } from '../support/waxseal.js';

/** Files whose purpose is to hold a credential, relative to the data directory; each is 0600. */
const credentialFiles =
  /^(aws-credentials|principals\.yaml|tokens\.csv|kubeconfig|pki\/[\w-]+\.key|key-service\/[\w-]+\.key)$/;

interface Marker {
  readonly what: string;
  /** How it may appear: as it is, in base64 at any alignment, in hexadecimal. */
  readonly forms: readonly string[];
}

const newMarker = (): string => `marker-${randomBytes(12).toString('hex')}`;

function marker(what: string, bytes: Buffer): Marker {
  assert.ok(bytes.length >= 16, `${what} is too short to be told from chance`);
  // The inner characters of a base64 text do not depend on what stands before and after them, only on the alignment.
  const base64 = [0, 1, 2].map((shift) =>
    Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .slice(4, -4),
  );
  return { what, forms: [bytes.toString('latin1'), bytes.toString('hex'), ...base64] };
}

function search(place: string, content: Buffer, markers: readonly Marker[]): string[] {
  return markers
    .filter(({ forms }) => forms.some((form) => content.includes(Buffer.from(form, 'latin1'))))
    .map(({ what }) => `${what} in ${place}`);
}

test('what is planted is found nowhere', async (t) => {
  const folder = await temporaryFolder(t);
  const dataDir = join(folder, 'data');
  const up = await startUp(dataDir, '--log-level', 'debug', '--plugin-health-port', '0');
  t.after(() => up.stop());
  const { kubectl, aws, tryAws, etcdctl } = clientsOf(up.ready);
  const api = apiOf(up.ready);
  t.after(() => api.close());
  const path = '/api/v1/namespaces/default/secrets';

  // Doors of the API server: values stored, changed, listed.
  const values = Array.from({ length: 6 }, newMarker);
  const [created, patched, configured, annotated, token, refused] = values as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  await kubectl(['create', 'secret', 'generic', 'a', `--from-literal=k=${created}`]);
  await kubectl(['patch', 'secret', 'a', '-p', JSON.stringify({ stringData: { l: patched } })]);
  await kubectl(['create', 'configmap', 'c', `--from-literal=k=${configured}`]);
  await kubectl(['annotate', 'secret', 'a', `note=${annotated}`]);
  assert.match((await api.call('GET', path)).text, /"l":/);
  const serviceAccountToken = (await kubectl(['create', 'token', 'default'])).trim();
  const bearer = (text: string) => ({ authorization: `Bearer ${text}` });
  assert.equal((await api.call('GET', path, undefined, bearer(serviceAccountToken))).status, 403);
  assert.equal((await api.call('GET', path, undefined, bearer(token))).status, 401);

  // Requests that fail with a marker in them: the answer may not repeat it.
  const answers: string[] = [];
  const fail = async (
    body: unknown,
    headers: Readonly<Record<string, string>> = {},
    query = '',
  ): Promise<void> => {
    const answer = await api.call('POST', path + query, body, headers);
    assert.ok(answer.status >= 400, answer.text);
    answers.push(answer.text);
  };
  await fail(Buffer.from(`{"kind":"Secret","data":{"k":"${refused}`));
  await fail({ ...secret('x', {}), data: { k: `${refused} is not base64` } });
  await fail({ ...secret('x', {}), data: { 'not a key': Buffer.from(refused).toString('base64') } });
  await fail({ ...secret('x', {}), data: refused });
  await fail({ ...secret('x', {}), colour: refused }, {}, '?fieldValidation=Strict');
  await fail({ ...secret('a', { k: refused }) });
  await fail(Buffer.from(`stringData: {k: "${refused}\n`), { 'content-type': 'application/yaml' });
  await fail(Buffer.from(`k8s\0${refused}`), { 'content-type': 'application/vnd.kubernetes.protobuf' });
  await fail({ ...secret('x', { k: refused }), type: 'kubernetes.io/tls' });

  // Stored values that cannot be opened: the error names the key, never the value.
  const stored = newMarker();
  for (const value of [
    `k8s:enc:kms:v2:waxseal:${stored}`,
    `k8s:enc:unknown:${stored}`,
    `{"kind":"Secret",${stored}`,
  ]) {
    await etcdctl(['put', '/registry/secrets/default/broken', value]);
    for (const target of [`${path}/broken`, path]) {
      const answer = await api.call('GET', target);
      assert.equal(answer.status, 500, answer.text);
      answers.push(answer.text);
    }
  }
  await etcdctl(['del', '/registry/secrets/default/broken']);

  // Doors of the key service.
  const wrapped = newMarker();
  const plaintext = join(folder, 'plaintext');
  await writeFile(plaintext, wrapped);
  const key = ['--key-id', 'alias/waxseal'];
  await aws(['kms', 'encrypt', ...key, '--plaintext', `fileb://${plaintext}`]);
  answers.push((await tryAws(['kms', 'decrypt', '--ciphertext-blob', `fileb://${plaintext}`])).stderr);
  const dataKey = JSON.parse(await aws(['kms', 'generate-data-key', ...key, '--key-spec', 'AES_256'])) as {
    Plaintext: string;
  };

  // What the metrics say, and what the log and the disk hold at the end.
  const metrics = (await api.call('GET', '/metrics')).text;
  assert.match(metrics, /apiserver_storage_transformation_operations_total/);
  const pluginMetrics = await (await fetch(`${up.ready.pluginHealthEndpoint}/metrics`)).text();
  assert.match(pluginMetrics, /waxseal_kms_plugin_requests_total/);
  const credentials = await readFile(up.ready.credentialsFile, 'utf8');
  const secretKeys = [...credentials.matchAll(/aws_secret_access_key = (\S+)/g)].map(
    (match) => match[1] as string,
  );
  assert.equal(secretKeys.length, 2);
  const adminToken = (await readFile(up.ready.tokenFile, 'utf8')).split(',')[0] as string;
  const rootKey = (await readFile(join(dataDir, 'key-service/root.key'), 'utf8'))
    .trim()
    .split(':')[1] as string;
  assert.equal(await up.stop(), 0);

  const everywhere = [
    ...values.map((value, index) => marker(`value ${index}`, Buffer.from(value))),
    marker('the plaintext given to Encrypt', Buffer.from(wrapped)),
    marker('the data key', Buffer.from(dataKey.Plaintext, 'base64')),
    marker('the service account token', Buffer.from(serviceAccountToken)),
    marker('the administrator’s token', Buffer.from(adminToken)),
    marker('the root key', Buffer.from(rootKey, 'base64')),
    ...secretKeys.map((value) => marker('a secret access key', Buffer.from(value))),
  ];
  const said = [...everywhere, marker('a stored value', Buffer.from(stored))];

  const found = [
    ...search('the log', Buffer.from(up.log()), said),
    ...search('the API server’s metrics', Buffer.from(metrics), said),
    ...search('the plugin’s metrics', Buffer.from(pluginMetrics), said),
    ...answers.flatMap((answer) => search(`the answer ${answer.slice(0, 300)}`, Buffer.from(answer), said)),
  ];
  const files: string[] = [];
  for (const entry of await readdir(dataDir, { recursive: true, withFileTypes: true })) {
    const file = relative(dataDir, join(entry.parentPath, entry.name));
    if (!entry.isFile() || credentialFiles.test(file)) continue;
    files.push(file);
    const content = await readFile(join(dataDir, file));
    found.push(...search(file, file.endsWith('.gz') ? gunzipSync(content) : content, everywhere));
  }
  assert.deepEqual(found, []);
  assert.ok(files.includes('api/data.mdb'), files.join());
  assert.ok(
    files.some((file) => file.startsWith('key-service/audit/')),
    files.join(),
  );

  // The search itself can find: the credential files hold what they are for.
  const tokens = await readFile(up.ready.tokenFile);
  assert.deepEqual(search('tokens.csv', tokens, everywhere), ['the administrator’s token in tokens.csv']);
});
