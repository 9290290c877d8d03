/**
 * How the provider comes by a Vault token, one function per auth method.
 *
 * Source: the API documentation of the auth methods token, approle, kubernetes, jwt and cert. Files are read at every login, so that
 * whoever renews them needs to tell nobody.
 */
import { readFile } from 'node:fs/promises';
import { KmsPluginError, ProviderError } from '../errors.js';
import { pathOf } from './vault-path.js';
import { garbledVaultAnswer, vaultFindings } from './vault-errors.js';
import type { VaultAnswer, VaultHttp } from './vault-http.js';

export type VaultAuth =
  | {
      readonly kind: 'token';
      /** The token itself, or else the file that holds it, which is read again every minute and when Vault refuses the token. */
      readonly token?: string;
      readonly tokenFile?: string;
    }
  | {
      readonly kind: 'approle';
      /** The role id itself, or else the file that holds it. */
      readonly roleId?: string;
      readonly roleIdFile?: string;
      /** None for roles without `bind_secret_id`. */
      readonly secretIdFile?: string;
      /** The file holds a response-wrapping token that is unwrapped once; the secret id is then kept in memory. */
      readonly secretIdWrapped?: boolean;
      /** `approle` by default. */
      readonly mount?: string;
    }
  | {
      /** `kubernetes` asks the API server about the token (which must run then), `jwt` checks its signature. */
      readonly kind: 'kubernetes' | 'jwt';
      readonly role: string;
      /** The token of the service account as pods have it, by default. */
      readonly jwtFile?: string;
      /** The name of the kind by default. */
      readonly mount?: string;
    }
  | {
      /** The client certificate of the connection. */
      readonly kind: 'cert';
      /** Any that fits, by default. */
      readonly role?: string;
      /** `cert` by default. */
      readonly mount?: string;
    };

/** A token, and how long it is good for. */
export interface VaultGrant {
  readonly token: string;
  /** Undefined: not known, or forever. */
  readonly leaseMs: number | undefined;
  readonly renewable: boolean;
}

/** @throws ProviderError, KmsPluginError `credentials_invalid` */
export type VaultLogin = (http: VaultHttp, signal: AbortSignal) => Promise<VaultGrant>;

const credentialMaxBytes = 64 * 1024;
const serviceAccountTokenFile = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/** @throws KmsPluginError `invalid_options` */
export function createVaultLogin(auth: VaultAuth): VaultLogin {
  switch (auth.kind) {
    case 'token':
      return tokenLogin(oneOf('token', auth.token, auth.tokenFile));
    case 'approle':
      return appRoleLogin(
        oneOf('role id', auth.roleId, auth.roleIdFile),
        auth.secretIdFile,
        auth.secretIdWrapped ?? false,
        auth.mount ?? 'approle',
      );
    case 'kubernetes':
    case 'jwt':
      return jwtLogin(auth.role, auth.jwtFile ?? serviceAccountTokenFile, auth.mount ?? auth.kind);
    default:
      auth.kind satisfies 'cert';
      return certificateLogin(auth.role, auth.mount ?? 'cert');
  }
}

/** `POST auth/token/renew-self` */
export async function renewVaultToken(
  http: VaultHttp,
  token: string,
  signal: AbortSignal,
): Promise<VaultGrant> {
  return grantOf(await http.call({ method: 'POST', path: 'auth/token/renew-self', body: {}, token }, signal));
}

function tokenLogin(read: () => Promise<string>): VaultLogin {
  return async (http, signal) => {
    const token = await read();
    try {
      const answer = await http.call({ method: 'GET', path: 'auth/token/lookup-self', token }, signal);
      const data = (answer['data'] ?? {}) as Readonly<Record<string, unknown>>;
      return { token, leaseMs: leaseMsOf(data['ttl']), renewable: data['renewable'] === true };
    } catch (error) {
      // A token that may not look at itself still works; it only cannot be renewed in time.
      if (error instanceof ProviderError && error.failure.class === 'denied')
        return { token, leaseMs: undefined, renewable: false };
      throw error;
    }
  };
}

function appRoleLogin(
  readRoleId: () => Promise<string>,
  secretIdFile: string | undefined,
  wrapped: boolean,
  mount: string,
): VaultLogin {
  const path = pathOf('auth', mount, 'login');
  /** Of which wrapping token the secret id is: a new one in the file is unwrapped again. */
  let unwrapped: { readonly wrappingToken: string; readonly secretId: string } | undefined;

  const secretId = async (http: VaultHttp, signal: AbortSignal): Promise<string | undefined> => {
    if (secretIdFile === undefined) return undefined;
    const content = await readCredential(secretIdFile);
    if (!wrapped) return content;
    if (unwrapped?.wrappingToken !== content) {
      const answer = await http.call(
        { method: 'POST', path: 'sys/wrapping/unwrap', token: content, once: true },
        signal,
      );
      const data = answer['data'] as Readonly<Record<string, unknown>> | null | undefined;
      const inner = data?.['secret_id'];
      if (typeof inner !== 'string' || inner === '') throw garbledVaultAnswer('answer lacks secret_id');
      unwrapped = { wrappingToken: content, secretId: inner };
    }
    return unwrapped.secretId;
  };

  return async (http, signal) => {
    const [roleId, secret] = [await readRoleId(), await secretId(http, signal)];
    const body = { role_id: roleId, ...(secret === undefined ? {} : { secret_id: secret }) };
    return grantOf(await http.call({ method: 'POST', path, body, once: true }, signal));
  };
}

function jwtLogin(role: string, jwtFile: string, mount: string): VaultLogin {
  const path = pathOf('auth', mount, 'login');
  return async (http, signal) => {
    const body = { role, jwt: await readCredential(jwtFile) };
    return grantOf(await http.call({ method: 'POST', path, body, once: true }, signal));
  };
}

function certificateLogin(role: string | undefined, mount: string): VaultLogin {
  const path = pathOf('auth', mount, 'login');
  const body = role === undefined ? {} : { name: role };
  return async (http, signal) => {
    // A short-lived certificate has perhaps been renewed since the last login.
    await http.reload();
    return grantOf(await http.call({ method: 'POST', path, body, once: true }, signal));
  };
}

function grantOf(answer: VaultAnswer): VaultGrant {
  const auth = answer['auth'];
  if (typeof auth !== 'object' || auth === null) throw new ProviderError('no auth', vaultFindings.noToken);
  const fields = auth as Readonly<Record<string, unknown>>;
  const token = fields['client_token'];
  if (typeof token !== 'string' || !isToken(token))
    throw new ProviderError('no token', vaultFindings.noToken);
  return { token, leaseMs: leaseMsOf(fields['lease_duration']), renewable: fields['renewable'] === true };
}

function leaseMsOf(seconds: unknown): number | undefined {
  return typeof seconds === 'number' && Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined;
}

/** Goes into a header, so nothing but visible characters. */
function isToken(text: string): boolean {
  return /^[\x21-\x7e]{1,8192}$/.test(text);
}

function oneOf(what: string, value: string | undefined, file: string | undefined): () => Promise<string> {
  if ((value === undefined) === (file === undefined))
    throw new KmsPluginError('invalid_options', `Give the ${what}, or the file that holds it.`);
  if (value === undefined) return () => readCredential(file as string);
  if (!isToken(value))
    throw new KmsPluginError('invalid_options', `The ${what} holds characters it cannot have.`);
  return () => Promise.resolve(value);
}

/** @throws KmsPluginError `credentials_invalid`, which names the file and quotes nothing of it */
async function readCredential(path: string): Promise<string> {
  let content: Buffer;
  try {
    content = await readFile(path);
  } catch (cause) {
    throw new KmsPluginError('credentials_invalid', `The credentials file ${path} cannot be read.`, cause);
  }
  const text = content.length > credentialMaxBytes ? '' : content.toString('latin1').trim();
  content.fill(0);
  if (!isToken(text))
    throw new KmsPluginError('credentials_invalid', `The credentials file ${path} holds no token.`);
  return text;
}
