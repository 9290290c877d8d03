/**
 * Who the plugin is to Azure: the ways of @azure/identity that make sense on a machine without a user.
 *
 * The library is loaded with the first token, and not before.
 */
import type { TokenCredential } from '@azure/identity';
import { readFile } from 'node:fs/promises';
import { KmsPluginError } from '../errors.js';
import type { AzureCloud } from './azure-key-url.js';

export type AzureCredentialOptions =
  | {
      /** The library's own chain: environment, workload identity, managed identity, then the tools of a developer. */
      readonly kind: 'default';
      readonly tenantId?: string;
      /** Of the managed or workload identity, where there are several. */
      readonly clientId?: string;
    }
  | {
      readonly kind: 'managed-identity';
      /** Of a user-assigned identity; the system-assigned one by default. */
      readonly clientId?: string;
    }
  | {
      /** A service account's token, exchanged; what is not given comes from the environment of AKS's webhook. */
      readonly kind: 'workload-identity';
      readonly tenantId?: string;
      readonly clientId?: string;
      readonly tokenFile?: string;
    }
  | {
      readonly kind: 'client-secret';
      readonly tenantId: string;
      readonly clientId: string;
      /** A file with the secret and nothing else; white space at its end does not count. */
      readonly secretFile: string;
    }
  | {
      readonly kind: 'client-certificate';
      readonly tenantId: string;
      readonly clientId: string;
      /** PEM: the certificate and its private key. */
      readonly certificateFile: string;
    }
  | {
      /** The configuration of Azure's cloud provider, `/etc/kubernetes/azure.json`, as kubernetes-kms reads it. */
      readonly kind: 'azure-json';
      readonly file: string;
    };

/** What the tests of this package set and no configuration can. */
export interface AzureAuthority {
  readonly authorityHost: string;
  readonly ca: string;
}

const authorityHosts: Readonly<Record<AzureCloud, string>> = {
  public: 'https://login.microsoftonline.com',
  'us-government': 'https://login.microsoftonline.us',
  china: 'https://login.chinacloudapi.cn',
};

/** @throws KmsPluginError `credentials_invalid`; the message never quotes a file */
export async function createAzureCredential(
  options: AzureCredentialOptions,
  cloud: AzureCloud,
  authority?: AzureAuthority,
): Promise<TokenCredential> {
  const identity = await import('@azure/identity');
  const common = {
    authorityHost: authority?.authorityHost ?? authorityHosts[cloud],
    ...(authority === undefined
      ? {}
      : {
          disableInstanceDiscovery: true,
          tlsOptions: { ca: authority.ca },
          retryOptions: { maxRetries: 0 },
        }),
  };
  const resolved = options.kind === 'azure-json' ? await readAzureJson(options.file) : options;
  if (resolved.kind === 'managed-identity') {
    const { clientId } = resolved;
    return clientId === undefined
      ? new identity.ManagedIdentityCredential()
      : new identity.ManagedIdentityCredential({ clientId });
  }
  if (resolved.kind === 'workload-identity') {
    const { tenantId, clientId, tokenFile } = resolved;
    return new identity.WorkloadIdentityCredential({
      ...common,
      ...(tenantId === undefined ? {} : { tenantId }),
      ...(clientId === undefined ? {} : { clientId }),
      ...(tokenFile === undefined ? {} : { tokenFilePath: tokenFile }),
    });
  }
  if (resolved.kind === 'client-secret') {
    const secret = 'secret' in resolved ? resolved.secret : (await readText(resolved.secretFile)).trimEnd();
    if (secret === '') throw invalid(`The file ${fileOf(resolved)} holds no client secret.`);
    return new identity.ClientSecretCredential(resolved.tenantId, resolved.clientId, secret, common);
  }
  if (resolved.kind === 'client-certificate') {
    const { tenantId, clientId, certificateFile: certificatePath } = resolved;
    // Read here, so that a missing file is told by name.
    await readText(certificatePath);
    return new identity.ClientCertificateCredential(tenantId, clientId, { certificatePath }, common);
  }
  const { tenantId, clientId } = resolved;
  return new identity.DefaultAzureCredential({
    ...common,
    ...(tenantId === undefined ? {} : { tenantId }),
    ...(clientId === undefined
      ? {}
      : { managedIdentityClientId: clientId, workloadIdentityClientId: clientId }),
  });
}

type Resolved =
  | Exclude<AzureCredentialOptions, { kind: 'azure-json' }>
  | {
      readonly kind: 'client-secret';
      readonly tenantId: string;
      readonly clientId: string;
      readonly secret: string;
      readonly file: string;
    };

const fileOf = (resolved: Extract<Resolved, { kind: 'client-secret' }>): string =>
  'secret' in resolved ? resolved.file : resolved.secretFile;

/**
 * A managed identity goes before a client secret, as in kubernetes-kms (pkg/auth). `msi` stands there for a secret that is
 * none.
 */
async function readAzureJson(file: string): Promise<Resolved> {
  const fields = parseObject(await readText(file));
  if (fields === undefined) throw invalid(`The file ${file} is not a JSON object.`);
  const text = (name: string): string | undefined => {
    const value = fields[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const clientId = text('userAssignedIdentityID');
  if (fields['useManagedIdentityExtension'] === true) {
    return { kind: 'managed-identity', ...(clientId === undefined ? {} : { clientId }) };
  }
  const [tenantId, application, secret] = [text('tenantId'), text('aadClientId'), text('aadClientSecret')];
  if (tenantId !== undefined && application !== undefined && secret !== undefined && secret !== 'msi') {
    return { kind: 'client-secret', tenantId, clientId: application, secret, file };
  }
  const certificateFile = text('aadClientCertPath');
  if (tenantId !== undefined && application !== undefined && certificateFile !== undefined) {
    return { kind: 'client-certificate', tenantId, clientId: application, certificateFile };
  }
  throw invalid(
    `The file ${file} names no identity: set useManagedIdentityExtension, or tenantId, aadClientId and aadClientSecret.`,
  );
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
      ? (parsed as Readonly<Record<string, unknown>>)
      : undefined;
  } catch {
    return undefined;
  }
}

const fileMaxBytes = 1024 * 1024;

async function readText(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new KmsPluginError(
      'credentials_invalid',
      `The credentials file ${path} cannot be read. Check the path and its permissions.`,
      cause,
    );
  }
  if (text.length > fileMaxBytes)
    throw invalid(`The credentials file ${path} is larger than ${fileMaxBytes} bytes.`);
  return text;
}

function invalid(message: string): KmsPluginError {
  return new KmsPluginError('credentials_invalid', message);
}
