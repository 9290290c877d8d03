/**
 * How commands reach a live etcd: endpoints, certificates, user. Options and environment variables are etcdctl's own (`ETCDCTL_…`); options win.
 * Passwords are never arguments' errors: nothing here repeats what was typed.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { EtcdSourceOptions } from '@waxseal/ops';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { CliError, exitCodes, usageError } from './errors.js';
import { parsePath, parseStorage } from './options.js';

export interface EtcdOptions {
  /** Endpoints of one cluster, as URLs or `host:port`. */
  readonly etcd?: readonly string[];
  readonly cacert?: string;
  readonly cert?: string;
  /** The PEM key's file. */
  readonly key?: string;
  readonly user?: string;
  readonly password?: string;
  readonly passwordFile?: string;
  readonly prefix?: string;
}

export type EtcdAccess = Omit<EtcdSourceOptions, 'dialTimeoutMs' | 'requestTimeoutMs'>;

const ENDPOINTS_VARIABLE = 'ETCDCTL_ENDPOINTS';

export const etcdOption = (): Option =>
  new Option(
    '--etcd <urls>',
    `a live etcd, as https://host:2379,https://host:2379 (or ${ENDPOINTS_VARIABLE})`,
  ).argParser((text: string, before?: readonly string[]) => parseEtcd([...(before ?? []), text].join(',')));

/** As `etcdOption`, for commands that have no other source. */
export const etcdOnlyOption = (): Option => etcdOption().env(ENDPOINTS_VARIABLE).makeOptionMandatory();

export interface EtcdAccessFlags {
  /** Another name where `--key` means a key of the encryption. */
  readonly keyFlag?: string | undefined;
  /** False: etcd is asked only when an option names it. Default true. */
  readonly endpointsFromEnvironment?: boolean | undefined;
  /** Where etcdctl's variables stand; default: the process's. */
  readonly environment?: NodeJS.ProcessEnv | undefined;
}

/** Certificates and user as etcdctl has them. */
export function etcdAccessOptions(command: Command, flags: EtcdAccessFlags = {}): Command {
  const { keyFlag = '--key', endpointsFromEnvironment = true, environment = process.env } = flags;
  return command
    .option('--cacert <file>', 'PEM authority of the etcd servers (or ETCDCTL_CACERT)', parsePath)
    .option('--cert <file>', 'PEM client certificate for etcd (or ETCDCTL_CERT)', parsePath)
    .option(`${keyFlag} <file>`, 'PEM key of that certificate (or ETCDCTL_KEY)', parsePath)
    .option(
      '--user <name[:password]>',
      'user of etcd (or ETCDCTL_USER); asks for the password when there is none',
    )
    .option(
      '--password <password>',
      'its password; safer by --password-file, or ETCDCTL_PASSWORD: others on the machine see arguments',
    )
    .option('--password-file <file>', 'a file with its password', parsePath)
    .hook('preAction', (_, action) => takeEnvironment(action, environment, endpointsFromEnvironment));
}

/** Options that name another source than etcd. */
const OTHER_SOURCES = ['snapshot', 'dataDir', 'dataDirEtcd', 'viaApi'];

/** Sets what the environment says and no option does. */
function takeEnvironment(command: Command, env: NodeJS.ProcessEnv, withEndpoints: boolean): void {
  const isGiven = (name: string): boolean => command.getOptionValue(name) !== undefined;
  const take = (name: string, value: unknown): void => {
    if (value !== undefined && value !== '' && !isGiven(name))
      command.setOptionValueWithSource(name, value, 'env');
  };
  const takesEndpoints = withEndpoints && !OTHER_SOURCES.some(isGiven);
  if (takesEndpoints && !isGiven('etcd')) take('etcd', endpointsOf(env[ENDPOINTS_VARIABLE]));
  const endpoints = command.getOptionValue('etcd') as readonly string[] | undefined;
  if (endpoints === undefined) return;
  if (!isGiven('user')) take('user', env['ETCDCTL_USER']);
  if (isGiven('user') && !isGiven('passwordFile') && !hasInlinePassword(command))
    take('password', env['ETCDCTL_PASSWORD']);
  // Who writes http:// wants no certificates, whatever else the environment is for.
  if (endpoints.every((endpoint) => endpoint.startsWith('http://'))) return;
  const keyName = command.options.some(({ long }) => long === '--etcd-key') ? 'etcdKey' : 'key';
  take('cacert', env['ETCDCTL_CACERT']);
  // A pair from two places would not fit.
  if (isGiven('cert') || isGiven(keyName)) return;
  take('cert', env['ETCDCTL_CERT']);
  take(keyName, env['ETCDCTL_KEY']);
}

/** `--user name:password` on the command line is nearer than a password of the environment. */
function hasInlinePassword(command: Command): boolean {
  return (
    command.getOptionValueSource('user') === 'cli' && String(command.getOptionValue('user')).includes(':')
  );
}

function endpointsOf(text: string | undefined): readonly string[] | undefined {
  if (text === undefined || text === '') return undefined;
  try {
    return parseEtcd(text);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw usageError(`${ENDPOINTS_VARIABLE}: ${error.message}`, 'Write it as https://host:2379.');
  }
}

function parseEtcd(text: string): readonly string[] {
  // Commander would show the whole argument.
  if (text.includes('@')) {
    throw usageError(
      'an endpoint of etcd has no user in it',
      'Name the user by --user, and the password by --password-file.',
    );
  }
  const isBare = !text.includes('://');
  if (text.trim() === '' || !(isBare || /^(etcds?|https?):\/\//.test(text))) throw notEndpoints();
  const storage = parseStorage(isBare ? `http://${text}` : text);
  if (storage.kind === 'lmdb') throw notEndpoints();
  // Without a scheme it is TLS when there is a certificate, as with etcdctl.
  return isBare ? storage.endpoints.map((url) => url.slice('http://'.length)) : storage.endpoints;
}

/** Options that say how etcd is reached, whether one is named or not. */
export function isAccessGiven({ cacert, cert, key, user, password, passwordFile }: EtcdOptions): boolean {
  return [cacert, cert, key, user, password, passwordFile].some((given) => given !== undefined);
}

/** @throws CliError for a source that is no etcd, with options for one */
export function refuseAccessWithoutEtcd(options: EtcdOptions): void {
  if (options.etcd !== undefined || !isAccessGiven(options)) return;
  throw usageError(
    '--cacert, --cert, --key and --user are for --etcd',
    'Files need no certificates, and no user.',
  );
}

/**
 * Everything a connection needs, files read. Asks for a password on a terminal.
 *
 * @throws CliError usage: options that do not go together; environment: a file that is not what it should be
 */
export async function readEtcdAccess(options: EtcdOptions): Promise<EtcdAccess> {
  const { etcd: endpoints = [], prefix } = options;
  return {
    endpoints,
    ...(prefix === undefined
      ? {}
      : { readableKey: Buffer.from(prefix.endsWith('/') ? prefix : `${prefix}/`) }),
    ...readTls(options),
    ...(await readUser(options)),
  };
}

function readTls({ etcd = [], cacert, cert, key }: EtcdOptions): Pick<EtcdAccess, 'tls'> {
  if ((cert === undefined) !== (key === undefined)) {
    throw usageError('--cert and --key belong together', 'Give both or neither.');
  }
  const isGiven = cacert !== undefined || cert !== undefined;
  if (etcd.every((endpoint) => endpoint.startsWith('http://'))) {
    if (!isGiven) return {};
    throw usageError(
      '--cacert, --cert and --key are for etcd over TLS',
      'Write the servers as --etcd https://host:2379.',
    );
  }
  if (!isGiven && !etcd.some((endpoint) => endpoint.startsWith('https://'))) return {};
  const ca = cacert === undefined ? undefined : readCertificates(cacert, 'the CA certificate').pem;
  return {
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined || key === undefined ? {} : readPair(cert, key)),
    },
  };
}

function readPair(certFile: string, keyFile: string): { readonly cert: Buffer; readonly key: Buffer } {
  const cert = readCertificates(certFile, 'the client certificate');
  const key = readNamed(keyFile, 'the key');
  let parsed: KeyObject;
  try {
    parsed = createPrivateKey(key);
  } catch (cause) {
    const isLocked = key.includes('ENCRYPTED');
    throw new CliError(
      isLocked ? `${keyFile} is locked by a passphrase` : `${keyFile} holds no private key in PEM`,
      isLocked
        ? 'Unlock it into a private file: openssl pkey -in FILE -out FILE'
        : 'Name the key file of --cert.',
      exitCodes.environment,
      { cause },
    );
  }
  if (!cert.first.checkPrivateKey(parsed)) {
    throw new CliError(
      `${keyFile} is not the key of ${certFile}`,
      'Name the key that the certificate was made for.',
      exitCodes.environment,
    );
  }
  return { cert: cert.pem, key };
}

function readCertificates(
  file: string,
  what: string,
): { readonly pem: Buffer; readonly first: X509Certificate } {
  const pem = readNamed(file, what);
  try {
    return { pem, first: new X509Certificate(pem) };
  } catch (cause) {
    throw new CliError(
      `${file} holds no certificate in PEM`,
      `Name the file of ${what}, which begins with -----BEGIN CERTIFICATE-----.`,
      exitCodes.environment,
      { cause },
    );
  }
}

function readNamed(file: string, what: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
    throw new CliError(
      `${file} (${what}) cannot be read: ${code}`,
      'Check the path, and whether you may read it.',
      exitCodes.environment,
      { cause },
    );
  }
}

async function readUser(options: EtcdOptions): Promise<Pick<EtcdAccess, 'username' | 'password'>> {
  const { user, password, passwordFile } = options;
  if (user === undefined || user === '') {
    if (password === undefined && passwordFile === undefined) return {};
    throw usageError('--password and --password-file need --user', 'Name the user of etcd by --user.');
  }
  if (password !== undefined && passwordFile !== undefined)
    throw usageError('--password and --password-file are two passwords', 'Give one of them.');
  // As etcdctl: beside a password the user is a name, colons included.
  if (password !== undefined) return { username: user, password };
  const colon = passwordFile === undefined ? user.indexOf(':') : -1;
  if (colon === 0) throw usageError('--user has no name before the colon', 'Write it as --user name.');
  if (colon > 0) return { username: user.slice(0, colon), password: user.slice(colon + 1) };
  const { readSecret } = await import('./parts/secrets.js');
  const secret = await readSecret(passwordFile, {
    variable: 'ETCDCTL_PASSWORD',
    option: '--password-file',
    missing: 'the user of etcd needs a password',
    question: 'Password of the etcd user: ',
  });
  return { username: user, password: secret.toString('utf8') };
}

const notEndpoints = (): InvalidArgumentError =>
  new InvalidArgumentError('Expected https://host:2379,https://host:2379.');
