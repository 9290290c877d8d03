/**
 * Goal: what lies in deploy/ fits together: every file can be read by what it is for, and the API server looks for the socket where the plugin
 * makes it. Method: our own checks of configurations, and the paths followed through the mounts. Whether the pod's fields exist is tested beside the
 * API server's types (api-types, deploy-manifest.test.ts).
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { run } from '../support/programs.js';
import { launcher, repository } from '../support/waxseal.js';

const read = (file: string): string => readFileSync(join(repository, 'deploy', file), 'utf8');

/** A node of parsed YAML; what is missing is undefined, and the assertion that needs it says so. */
interface Yaml extends Readonly<Record<string, Yaml>>, Iterable<Yaml> {}
const yaml = (text: string): Yaml => parse(text) as Yaml;
const list = (node: Yaml | undefined): readonly Yaml[] => [...(node ?? [])];
function text(node: Yaml | undefined): string {
  const value: unknown = node;
  assert.equal(typeof value, 'string');
  return value as string;
}

interface Mount {
  readonly hostPath: string;
  readonly mountPath: string;
}

/** Where on the machine a path of a container lies. */
function onHost(path: string, mounts: readonly Mount[]): string {
  const mount = mounts.find(({ mountPath }) => path.startsWith(`${mountPath}/`));
  assert.ok(mount, `${path} is in no mount: ${JSON.stringify(mounts)}`);
  return mount.hostPath + path.slice(mount.mountPath.length);
}

const endpoint = text(
  list(yaml(read('encryption-config.yaml'))['resources'])[0]?.['providers']?.['0']?.['kms']?.['endpoint'],
);
const endpointPath = endpoint.replace(/^unix:\/\//, '');

function mountsOfPod(pod: Yaml): readonly Mount[] {
  const [container] = list(pod['spec']?.['containers']);
  return list(container?.['volumeMounts']).map((mount) => {
    const volume = list(pod['spec']?.['volumes']).find(({ name }) => name === mount['name']);
    return { mountPath: text(mount['mountPath']), hostPath: text(volume?.['hostPath']?.['path']) };
  });
}

const mountsOfKubeadm = (configuration: Yaml): readonly Mount[] =>
  list(configuration['apiServer']?.['extraVolumes']).map(({ hostPath, mountPath }) => ({
    hostPath: text(hostPath),
    mountPath: text(mountPath),
  }));

/** The pod reads its configuration where it is mounted, listens where that says, and is probed where it answers. */
function socketOfPod(pod: Yaml, configuration: Yaml, configurationFile: string): string {
  const [container] = list(pod['spec']?.['containers']);
  const mounts = mountsOfPod(pod);
  const args = list(container?.['args']).map(text);
  assert.equal(onHost(args[args.indexOf('--config') + 1] ?? '', mounts), configurationFile);
  for (const probe of ['livenessProbe', 'readinessProbe']) {
    assert.equal(container?.[probe]?.['httpGet']?.['port'], configuration['health']?.['port'], probe);
    assert.equal(text(container?.[probe]?.['httpGet']?.['host']), '127.0.0.1', probe);
  }
  return onHost(text(list(configuration['keys'])[0]?.['listen']), mounts);
}

const waxseal = (...args: readonly string[]) => run(process.execPath, [launcher, ...args]);

test('the configurations of the plugin and of the API server are accepted', async (t) => {
  const folder = join(repository, 'deploy');
  for (const file of ['static-pod/plugin.yaml', 'systemd/plugin.yaml']) {
    const { code, stderr } = await waxseal('plugin', 'serve', '--config', join(folder, file), '--check');
    assert.equal(code, 0, stderr);
  }
  const { code, stderr } = await waxseal('config', 'check', join(folder, 'encryption-config.yaml'));
  assert.equal(code, 0, stderr);
  t.diagnostic(`endpoint ${endpoint}`);
});

test('kubeadm: the API server finds the socket of the static pod, and its configuration', () => {
  const socket = socketOfPod(
    yaml(read('static-pod/waxseal-kms.yaml')),
    yaml(read('static-pod/plugin.yaml')),
    '/etc/waxseal/plugin.yaml',
  );
  const cluster = yaml(read('kubeadm/cluster.yaml'));
  const mounts = mountsOfKubeadm(cluster);
  assert.equal(onHost(endpointPath, mounts), socket);
  const args = Object.fromEntries(
    list(cluster['apiServer']?.['extraArgs']).map(({ name, value }) => [text(name), text(value)]),
  );
  const file = onHost(args['encryption-provider-config'] ?? '', mounts);
  assert.equal(file, '/etc/kubernetes/enc/encryption-config.yaml');
  assert.equal(args['encryption-provider-config-automatic-reload'], 'true');
});

test('kind: the node passes on the folders that its API server mounts', () => {
  const [node] = list(yaml(read('kind/cluster.yaml'))['nodes']);
  const cluster = yaml(text(list(node?.['kubeadmConfigPatches'])[0]));
  const ofNode = list(node?.['extraMounts']).map(({ hostPath, containerPath }) => ({
    hostPath: text(hostPath),
    mountPath: text(containerPath),
  }));
  const ofServer = mountsOfKubeadm(cluster);
  assert.equal(onHost(onHost(endpointPath, ofServer), ofNode), './run/kms.sock');
  const file = text(cluster['apiServer']?.['extraArgs']?.['encryption-provider-config']);
  assert.equal(onHost(onHost(file, ofServer), ofNode), './enc/encryption-config.yaml');
});

test('kops: the static pod is the same but for its folder, which kube-apiserver sees', () => {
  const assets = new Map(
    list(yaml(read('kops/cluster.yaml'))['spec']?.['fileAssets']).map(({ path, content }) => [
      text(path),
      yaml(text(content)),
    ]),
  );
  const pod = assets.get('/etc/kubernetes/manifests/waxseal-kms.yaml');
  const configuration = assets.get('/etc/waxseal/plugin.yaml');
  assert.ok(pod && configuration);
  const folder = '/srv/kubernetes/kube-apiserver';
  assert.equal(socketOfPod(pod, configuration, '/etc/waxseal/plugin.yaml'), `${folder}/kms.sock`);
  const moved = (file: string): unknown => yaml(read(file).replaceAll('/run/waxseal', folder));
  assert.deepEqual(pod, moved('static-pod/waxseal-kms.yaml'));
  assert.deepEqual(configuration, moved('static-pod/plugin.yaml'));
});

test('systemd and k3s: the socket unit makes the socket that the plugin takes and the API server looks for', () => {
  const unit = (file: string): ReadonlyMap<string, string> => {
    const lines = read(`systemd/${file}`)
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    for (const line of lines)
      assert.match(line, /^(\[(Unit|Service|Socket|Install)\]|[A-Z][A-Za-z]+=.*)$/, file);
    return new Map(lines.map((line) => line.split(/=(.*)/s, 2) as [string, string]));
  };
  const socket = unit('waxseal-kms.socket');
  const service = unit('waxseal-kms.service');
  assert.equal(socket.get('ListenStream'), endpointPath);
  assert.equal(socket.get('SocketMode'), '0600');
  const configuration = yaml(read('systemd/plugin.yaml'));
  assert.equal(
    text(list(configuration['keys'])[0]?.['listen']),
    `fd://${socket.get('FileDescriptorName') ?? ''}`,
  );
  assert.equal(service.get('Requires'), 'waxseal-kms.socket');
  assert.match(service.get('ExecStart') ?? '', / plugin serve --config \/etc\/waxseal\/plugin\.yaml /);
  assert.match(read('systemd/waxseal.sysusers'), new RegExp(`^u ${service.get('User') ?? ''} `, 'm'));
  const args = list(yaml(read('k3s/config.yaml'))['kube-apiserver-arg']).map(text);
  assert.deepEqual(args, [
    'encryption-provider-config=/etc/waxseal/encryption-config.yaml',
    'encryption-provider-config-automatic-reload=true',
  ]);
});

test('every file is told of in the guides, and every file they name is there', () => {
  const guides = ['deploying', 'kubeadm', 'systemd', 'k3s', 'kind', 'kops']
    .map((name) => readFileSync(join(repository, 'docs/operating', `${name}.md`), 'utf8'))
    .join('\n');
  const named = new Set([...guides.matchAll(/deploy\/([\w./-]*\w)/g)].map(([, path]) => path));
  const there = readdirSync(join(repository, 'deploy'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(repository, 'deploy/').length));
  assert.deepEqual(named, new Set(there));
});
