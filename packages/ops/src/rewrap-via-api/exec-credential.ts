/**
 * Credentials that a program makes: the `exec` user of a kubeconfig, as clusters in clouds have it. The program is run as kubectl runs it, and what it
 * prints is an ExecCredential with a token, or a client certificate and its key, and perhaps until when they hold.
 *
 * Source of the rule: k8s.io/client-go `pkg/apis/clientauthentication` v1 and v1beta1, `plugin/pkg/client/auth/exec`.
 */
import { spawn } from 'node:child_process';
import { dirname, resolve, sep } from 'node:path';
import type { Clock } from '@waxseal/encryption-config';
import { errorMessage } from '@waxseal/envelope';
import { OpsError } from '../errors.js';
import type { Credential } from './credentials.js';

export interface ExecPlugin {
  /** A name that is looked for on the path, or an absolute path. */
  readonly command: string;
  readonly args: readonly string[];
  /** Beside the environment of this process. */
  readonly env: Readonly<Record<string, string>>;
  readonly apiVersion: string;
  /** What to do when the program is absent; the kubeconfig's words. */
  readonly installHint: string;
  readonly interactiveMode: 'Never' | 'IfAvailable' | 'Always';
  /** `spec.cluster` of what the program is told; absent: it is told nothing of the cluster. */
  readonly cluster?: Fields;
}

export interface ExecCredential extends Credential {
  /** Milliseconds since the epoch; absent: until a server refuses it. */
  readonly expiresMs?: number;
}

type Fields = Readonly<Record<string, unknown>>;

const GROUP = 'client.authentication.k8s.io';
const VERSIONS = [`${GROUP}/v1`, `${GROUP}/v1beta1`];
const KIND = 'ExecCredential';
/** The reserved name of the cluster's part that is meant for the program. */
const EXTENSION = `${GROUP}/exec`;
const MODES = ['Never', 'IfAvailable', 'Always'] as const;
/** Somebody may have to type a password, or to touch a token. */
const TIMEOUT_MS = 120_000;
const MAX_OUTPUT_BYTES = 1 << 20;

/**
 * @param exec the user's `exec`
 * @param cluster as the kubeconfig has it
 * @param ca the PEM authority of the cluster
 * @throws Error with what is wrong, in a few words
 */
export function parseExecPlugin(
  exec: Fields,
  cluster: Fields,
  ca: Buffer | undefined,
  path: string,
): ExecPlugin {
  const { command, apiVersion, installHint } = exec;
  if (typeof command !== 'string' || command === '') throw new Error('its exec names no command');
  if (typeof apiVersion !== 'string' || !VERSIONS.includes(apiVersion)) {
    throw new Error(
      `its exec has apiVersion ${String(apiVersion)}, it must be ${VERSIONS.join(' or ')}: write the kubeconfig again with the present version of ${command}`,
    );
  }
  // Only v1 asks for it to be said.
  const given = exec['interactiveMode'] ?? (apiVersion === VERSIONS[1] ? 'IfAvailable' : undefined);
  const interactiveMode = MODES.find((mode) => mode === given);
  if (interactiveMode === undefined)
    throw new Error(`the interactiveMode of its exec must be one of ${MODES.join(', ')}`);
  return {
    command: command.includes(sep) ? resolve(dirname(path), command) : command,
    args: listOf(exec['args']).map(String),
    env: Object.fromEntries(
      listOf(exec['env']).map((entry) => {
        const { name, value } = (entry ?? {}) as Fields;
        if (typeof name !== 'string' || typeof value !== 'string')
          throw new Error('the env of its exec must be names and values');
        return [name, value];
      }),
    ),
    apiVersion,
    installHint: typeof installHint === 'string' ? installHint : '',
    interactiveMode,
    ...(exec['provideClusterInfo'] === true && { cluster: clusterInfo(cluster, ca) }),
  };
}

function clusterInfo(cluster: Fields, ca: Buffer | undefined): Fields {
  const extension = listOf(cluster['extensions'])
    .map((entry) => (entry ?? {}) as Fields)
    .find(({ name }) => name === EXTENSION);
  const { server, 'tls-server-name': serverName } = cluster;
  return {
    server,
    ...(serverName === undefined ? {} : { 'tls-server-name': serverName }),
    ...(ca === undefined ? {} : { 'certificate-authority-data': ca.toString('base64') }),
    ...(extension === undefined ? {} : { config: extension['extension'] }),
  };
}

const listOf = (value: unknown): readonly unknown[] =>
  Array.isArray(value) ? (value as readonly unknown[]) : [];

/**
 * Runs the program once. What it writes to standard error goes to ours: that is how it asks and explains.
 *
 * @param terminal somebody can type
 * @throws OpsError source-unreadable
 */
export async function runExecPlugin(
  plugin: ExecPlugin,
  terminal: boolean,
  clock: Clock,
  signal: AbortSignal,
): Promise<ExecCredential> {
  const { command, interactiveMode, apiVersion, cluster, installHint } = plugin;
  if (interactiveMode === 'Always' && !terminal) {
    throw failed(plugin, 'it asks for something, and there is no terminal to answer at');
  }
  const interactive = interactiveMode !== 'Never' && terminal;
  const told = {
    kind: KIND,
    apiVersion,
    spec: { interactive, ...(cluster === undefined ? {} : { cluster }) },
  };
  try {
    return parseCredential(await outputOf(plugin, interactive, JSON.stringify(told), clock, signal), plugin);
  } catch (error) {
    if (error instanceof OpsError) throw error;
    if (signal.aborted) throw new OpsError('interrupted', 'stopped', signal.reason);
    const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    const why = absent
      ? `${command} is not installed, or not on the path. ${installHint}`
      : errorMessage(error);
    throw failed(plugin, why.trim(), error);
  }
}

function outputOf(
  { command, args, env }: ExecPlugin,
  interactive: boolean,
  told: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<string> {
  return new Promise((done, fail) => {
    const child = spawn(command, args, {
      env: { ...process.env, ...env, KUBERNETES_EXEC_INFO: told },
      stdio: [interactive ? 'inherit' : 'ignore', 'pipe', 'inherit'],
      signal,
    });
    const cancel = clock.schedule(TIMEOUT_MS, () => {
      child.kill();
      // What it has started itself may hold it open.
      child.stdout.destroy();
    });
    const chunks: Buffer[] = [];
    let length = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > MAX_OUTPUT_BYTES) child.kill();
      else chunks.push(chunk);
    });
    child.once('error', (error) => {
      cancel();
      fail(error);
    });
    child.once('close', (code, killed) => {
      cancel();
      if (length > MAX_OUTPUT_BYTES) fail(new Error(`it prints more than ${MAX_OUTPUT_BYTES} bytes`));
      else if (killed !== null)
        fail(new Error(`it did not end within ${TIMEOUT_MS / 1000} s, or was killed (${killed})`));
      else if (code !== 0)
        fail(new Error(`it ended with exit code ${String(code)}; run it by hand to see why`));
      else done(Buffer.concat(chunks).toString());
    });
  });
}

/** Messages never show what was printed: it may be a key. */
function parseCredential(text: string, plugin: ExecPlugin): ExecCredential {
  let printed: Fields;
  try {
    printed = (JSON.parse(text) ?? {}) as Fields;
  } catch {
    throw failed(plugin, 'what it prints is not JSON');
  }
  if (printed['kind'] !== KIND || printed['apiVersion'] !== plugin.apiVersion) {
    throw failed(plugin, `what it prints is no ${KIND} of ${plugin.apiVersion}`);
  }
  const status = (printed['status'] ?? {}) as Fields;
  const textOf = (name: string): string => (typeof status[name] === 'string' ? status[name] : '');
  const [token, cert, key] = [textOf('token'), textOf('clientCertificateData'), textOf('clientKeyData')];
  if ((cert === '') !== (key === '')) throw failed(plugin, 'it gives a certificate or a key, not both');
  if (token === '' && cert === '') throw failed(plugin, 'it gives neither a token nor a certificate');
  const expires = textOf('expirationTimestamp');
  const expiresMs = Date.parse(expires);
  if (expires !== '' && Number.isNaN(expiresMs)) throw failed(plugin, 'its expirationTimestamp is no time');
  return {
    ...(token === '' ? {} : { token }),
    ...(cert === '' ? {} : { cert: Buffer.from(cert), key: Buffer.from(key) }),
    ...(expires === '' ? {} : { expiresMs }),
  };
}

function failed({ command }: ExecPlugin, why: string, cause?: unknown): OpsError {
  return new OpsError('source-unreadable', `the program that logs in, ${command}, fails: ${why}`, cause);
}
