/**
 * Where an API server is and who we are to it, from a kubeconfig: the current context's server, authority, client certificate and token, inline
 * or as files, or made by a program (exec).
 *
 * Source of the rule: k8s.io/client-go `tools/clientcmd/api/v1`. What would change who we are or where requests go, and is not known here, is
 * refused with a sentence.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseYaml } from '@waxseal/api-types';
import { errorMessage } from '@waxseal/envelope';
import { OpsError } from '../errors.js';
import { type ExecPlugin, parseExecPlugin } from './exec-credential.js';

export interface ApiServerAccess {
  readonly server: URL;
  /** PEM; absent: the system's authorities. */
  readonly ca?: Buffer;
  /** PEM client certificate and its key. */
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly token?: string;
  /** A file that holds the token, and may be renewed. */
  readonly tokenFile?: string;
  /** A program that gives the token or the certificate; only when there is no other. */
  readonly exec?: ExecPlugin;
  /** The name in the server's certificate, when it is not the one in its URL. */
  readonly serverName?: string;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * @param server instead of the one the file names
 * @throws OpsError config-invalid
 */
export function readKubeconfig(path: string, server?: string): ApiServerAccess {
  const root = fieldsOf(parse(path));
  const context = named(root, 'contexts', 'context', root['current-context'], path);
  const cluster = named(root, 'clusters', 'cluster', context['cluster'], path);
  const user = named(root, 'users', 'user', context['user'], path);
  refuseUnknownWays(user, cluster, path);
  if (cluster['insecure-skip-tls-verify'] === true) {
    throw invalid(
      path,
      'it turns the check of the server off (insecure-skip-tls-verify): name the authority instead',
    );
  }
  const bytes = (fields: Fields, name: string): Buffer | undefined => {
    const inline = fields[`${name}-data`];
    if (typeof inline === 'string' && inline !== '') return Buffer.from(inline, 'base64');
    const file = fields[name];
    return typeof file === 'string' && file !== '' ? read(resolve(dirname(path), file)) : undefined;
  };
  const text = (fields: Fields, name: string): string | undefined => {
    const value = fields[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const token = text(user, 'token');
  // The file goes before: whoever writes both renews the file.
  const tokenFile = text(user, 'tokenFile');
  const [ca, cert, key] = [
    bytes(cluster, 'certificate-authority'),
    bytes(user, 'client-certificate'),
    bytes(user, 'client-key'),
  ];
  if ((cert === undefined) !== (key === undefined)) {
    throw invalid(path, 'a client certificate needs both: the certificate and its key');
  }
  const serverName = text(cluster, 'tls-server-name');
  const exec =
    user['exec'] === undefined ||
    user['exec'] === null ||
    token !== undefined ||
    tokenFile !== undefined ||
    cert
      ? undefined
      : parseExec(fieldsOf(user['exec']), cluster, ca, path);
  return {
    server: parseServer(server ?? cluster['server'], path),
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
    ...(token !== undefined && { token }),
    ...(tokenFile !== undefined && { tokenFile: resolve(dirname(path), tokenFile) }),
    ...(exec && { exec }),
    ...(serverName !== undefined && { serverName }),
  };
}

function parseExec(exec: Fields, cluster: Fields, ca: Buffer | undefined, path: string): ExecPlugin {
  try {
    return parseExecPlugin(exec, cluster, ca, path);
  } catch (error) {
    throw invalid(path, errorMessage(error));
  }
}

function refuseUnknownWays(user: Fields, cluster: Fields, path: string): void {
  if (user['auth-provider'] !== undefined) {
    throw invalid(
      path,
      'its user has an auth-provider, which Kubernetes has given up: write it again with exec',
    );
  }
  if (['as', 'as-uid', 'as-groups', 'as-user-extra'].some((name) => user[name] !== undefined)) {
    throw invalid(path, 'its user acts as somebody else (as): name a user who may do it himself');
  }
  if (cluster['proxy-url'] !== undefined) {
    throw invalid(
      path,
      'it reaches the server through a proxy (proxy-url): run this where the server can be reached',
    );
  }
}

function parse(path: string): unknown {
  const bytes = read(path);
  try {
    return parseYaml(bytes).value;
  } catch (error) {
    throw invalid(path, `it is not YAML: ${errorMessage(error)}`);
  }
}

function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new OpsError(
      'config-invalid',
      `a file of the kubeconfig cannot be read: ${errorMessage(error)}`,
      error,
    );
  }
}

function named(root: Fields, list: string, item: string, name: unknown, path: string): Fields {
  const entries = root[list];
  const found = Array.isArray(entries)
    ? (entries as readonly unknown[]).map(fieldsOf).find((entry) => entry['name'] === name)
    : undefined;
  if (typeof name !== 'string' || found === undefined)
    throw invalid(path, `its current context has no ${item}`);
  return fieldsOf(found[item]);
}

/** http only where nobody listens in: as `kubectl proxy` serves it. */
function parseServer(text: unknown, path: string): URL {
  const url = typeof text === 'string' && URL.canParse(text) ? new URL(text) : undefined;
  const loopback = ['127.0.0.1', '[::1]', 'localhost'].includes(url?.hostname ?? '');
  if (url?.protocol === 'https:' || (url?.protocol === 'http:' && loopback)) return url;
  throw invalid(path, 'the API server must be https://host:port (or http on this machine)');
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function invalid(path: string, why: string): OpsError {
  return new OpsError('config-invalid', `the kubeconfig ${path} cannot be used: ${why}.`);
}
