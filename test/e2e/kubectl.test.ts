/** Goal: unmodified kubectl, every version from 1.32 to 1.36, does its daily work. Method: the real binaries. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clientsOf, kubectlVersions } from '../support/programs.js';
import { startUp, type Process, type UpReady } from '../support/waxseal.js';

let up: Process<UpReady>;
let dataDir: string;

before(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'waxseal-kubectl-'));
  up = await startUp(dataDir);
});
after(async () => {
  await up.stop();
  await rm(dataDir, { recursive: true, force: true });
});

for (const version of kubectlVersions) {
  describe(`kubectl ${version}`, () => {
    const namespace = `v${version.replace('.', '-')}`;
    const kubectl = (args: readonly string[], stdin?: string) =>
      clientsOf(up.ready).kubectl(['-n', namespace, ...args], {
        version,
        ...(stdin === undefined ? {} : { stdin }),
      });
    const tryKubectl = (args: readonly string[], stdin?: string) =>
      clientsOf(up.ready).tryKubectl(['-n', namespace, ...args], {
        version,
        ...(stdin === undefined ? {} : { stdin }),
      });

    test('works through a day', async () => {
      assert.match(await kubectl(['create', 'namespace', namespace]), /created/);
      assert.match(
        await kubectl(['create', 'secret', 'generic', 'a', '--from-literal=k=v']),
        /secret\/a created/,
      );
      assert.match(await kubectl(['get', 'secrets']), /NAME\s+TYPE\s+DATA\s+AGE\na\s+Opaque\s+1\s+/);
      assert.match(await kubectl(['get', 'secret', 'a', '-o', 'yaml']), /k: dg==/);
      assert.match(await kubectl(['describe', 'secret', 'a']), /k:\s+1 bytes/);
      assert.match(await kubectl(['label', 'secret', 'a', 'team=blue']), /labeled/);
      assert.match(await kubectl(['get', 'secrets', '-l', 'team=blue', '-o', 'name']), /^secret\/a\n$/);
      assert.match(await kubectl(['annotate', 'secret', 'a', 'note=x']), /annotated/);
      assert.match(await kubectl(['patch', 'secret', 'a', '-p', '{"stringData":{"l":"w"}}']), /patched/);
      assert.match(
        await kubectl(['patch', 'secret', 'a', '--type=json', '-p', '[{"op":"remove","path":"/data/k"}]']),
        /patched/,
      );
      assert.match(
        await kubectl([
          'patch',
          'secret',
          'a',
          '--type=merge',
          '-p',
          '{"metadata":{"labels":{"team":"red"}}}',
        ]),
        /patched/,
      );
      assert.equal(
        await kubectl(['get', 'secret', 'a', '-o', 'jsonpath={.data}{.metadata.labels.team}']),
        '{"l":"dw=="}red',
      );
      assert.match(await kubectl(['create', 'configmap', 'c', '--from-literal=x=1']), /created/);
      assert.match(await kubectl(['create', 'serviceaccount', 'robot']), /created/);
      assert.match(await kubectl(['create', 'token', 'robot']), /^ey[\w-]+\.[\w-]+\.[\w-]+\n?$/);
      assert.match(
        await kubectl(['create', 'role', 'reader', '--verb=get', '--resource=secrets']),
        /created/,
      );
      assert.match(
        await kubectl([
          'create',
          'rolebinding',
          'rb',
          '--role=reader',
          `--serviceaccount=${namespace}:robot`,
        ]),
        /created/,
      );
      const robot = ['--as', `system:serviceaccount:${namespace}:robot`];
      assert.equal(await kubectl(['auth', 'can-i', 'get', 'secrets', ...robot]), 'yes\n');
      assert.equal((await tryKubectl(['auth', 'can-i', 'delete', 'secrets', ...robot])).stdout, 'no\n');
      assert.match(
        (await tryKubectl(['get', 'configmaps', ...robot])).stderr,
        /Error from server \(Forbidden\)/,
      );
      assert.match(await kubectl(['auth', 'whoami']), /waxseal-admin/);
      assert.match(await kubectl(['delete', 'secret', 'a']), /deleted/);
      assert.match(
        (await tryKubectl(['get', 'secret', 'a'])).stderr,
        /Error from server \(NotFound\): secrets "a" not found/,
      );
    });

    test('applies, diffs, replaces and edits manifests', async () => {
      const manifest = (value: string) =>
        `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: app\n  labels: {app: demo}\ndata:\n  key: ${value}\n`;
      assert.match(await kubectl(['apply', '-f', '-'], manifest('one')), /configmap\/app created/);
      assert.match(await kubectl(['apply', '-f', '-'], manifest('one')), /configmap\/app unchanged/);
      assert.match(await kubectl(['apply', '-f', '-'], manifest('two')), /configmap\/app configured/);
      assert.equal(await kubectl(['get', 'configmap', 'app', '-o', 'jsonpath={.data.key}']), 'two');
      const diff = await tryKubectl(['diff', '-f', '-'], manifest('three'));
      assert.equal(diff.code, 1, diff.stderr);
      assert.match(diff.stdout, /\+ {2}key: three/);
      assert.match(await kubectl(['replace', '-f', '-'], manifest('four')), /replaced/);
      assert.match(
        await kubectl(['apply', '--dry-run=server', '-f', '-'], manifest('five')),
        /server dry run/,
      );
      assert.equal(await kubectl(['get', 'configmap', 'app', '-o', 'jsonpath={.data.key}']), 'four');
      const strict = await tryKubectl(
        ['create', '-f', '-'],
        manifest('x').replace('name: app', 'name: bad\n  colour: red'),
      );
      assert.notEqual(strict.code, 0);
      assert.match(strict.stderr, /unknown field "metadata\.colour"/);
      assert.match(await kubectl(['delete', '-f', '-'], manifest('four')), /deleted/);
    });

    test('knows the API', async () => {
      const resources = await kubectl(['api-resources']);
      assert.match(resources, /^secrets\s+v1\s+true\s+Secret$/m);
      assert.match(resources, /^clusterroles\s+rbac\.authorization\.k8s\.io\/v1\s+false\s+ClusterRole$/m);
      assert.match(await kubectl(['explain', 'secret.type']), /FIELD: type <string>/);
      assert.match(await kubectl(['version']), /Server Version: v1\./);
      assert.match(await kubectl(['get', '--raw', '/readyz?verbose']), /\[\+\]kms-providers ok/);
      assert.match(await kubectl(['get', 'ns', namespace]), /Active/);
    });

    test('watches', async () => {
      await kubectl(['create', 'configmap', 'seen']);
      const waited = kubectl(['wait', '--for=delete', 'configmap/seen', '--timeout=20s']);
      const watched = tryKubectl(['get', 'configmaps', '--watch', '--request-timeout=4s', '-o', 'name']);
      await new Promise((resolve) => setTimeout(resolve, 1500));
      await kubectl(['create', 'configmap', 'later']);
      await kubectl(['delete', 'configmap', 'seen']);
      assert.match(await waited, /condition met|deleted/);
      const { stdout } = await watched;
      assert.match(stdout, /configmap\/seen/);
      assert.match(stdout, /configmap\/later/);
    });

    test('deletes its namespace and everything in it', async () => {
      assert.match(await kubectl(['delete', 'namespace', namespace, '--timeout=30s']), /deleted/);
      assert.equal(await kubectl(['get', 'configmaps', '-o', 'name']), '');
      assert.match((await tryKubectl(['get', 'namespace', namespace])).stderr, /NotFound/);
    });
  });
}

test('kubectl create -f takes YAML and JSON files', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-manifests-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await writeFile(
    join(folder, 'a.yaml'),
    'apiVersion: v1\nkind: Secret\nmetadata: {name: from-yaml}\nstringData: {a: b}\n',
  );
  await writeFile(
    join(folder, 'b.json'),
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'from-json' },
      stringData: { a: 'c' },
    }),
  );
  const { kubectl } = clientsOf(up.ready);
  await kubectl(['create', '-f', folder]);
  assert.equal(await kubectl(['get', 'secret', 'from-yaml', '-o', 'jsonpath={.data.a}']), 'Yg==');
  assert.equal(await kubectl(['get', 'secret', 'from-json', '-o', 'jsonpath={.data.a}']), 'Yw==');
});
