/**
 * What a decoded configuration must be, field by field.
 *
 * Source of the rule: k8s.io/apiserver `pkg/apis/apiserver/validation/validation_encryption.go`; field paths and
 * reasons are the ones it gives. Where it would print a provider with its keys, only the provider's name is shown.
 */
import type {
  EncryptionConfiguration,
  KeyConfiguration,
  KeysConfiguration,
  KmsConfiguration,
  ProviderConfiguration,
} from './config.js';
import { formatDuration } from './duration.js';
import { parseKmsEndpoint } from './endpoint.js';
import { invalid, required, type FieldError } from './field-error.js';
import { ANY, formatGroupResource, parseGroupResource } from './wildcards.js';

const AES_KEY_BYTES = [16, 24, 32];
const SECRETBOX_KEY_BYTES = [32];

export interface ValidateOptions {
  /** With automatic reload KMS v1 names must be unique too. */
  readonly automaticReload: boolean;
}

export function validateEncryptionConfig(
  config: EncryptionConfiguration,
  options: ValidateOptions,
): readonly FieldError[] {
  if (config.resources.length === 0) return [required('resources', 'at least one resources is required')];
  const errors: FieldError[] = [];
  const kmsNames = new Set<string>();
  for (const [i, { resources, providers }] of config.resources.entries()) {
    const resourcesPath = `resources[${i}].resources`;
    const providersPath = `resources[${i}].providers`;
    if (resources.length === 0) {
      errors.push(required(resourcesPath, `at least one ${resourcesPath} is required`));
    }
    errors.push(...overlaps(resources, resourcesPath));
    errors.push(...resources.flatMap((name, j) => resourceName(name, `${resourcesPath}[${j}]`)));
    if (providers.length === 0) {
      errors.push(required(providersPath, `at least one ${providersPath} is required`));
    }
    for (const [j, provider] of providers.entries()) {
      const path = `${providersPath}[${j}]`;
      errors.push(...oneProvider(provider, path));
      const { kms, aesgcm, aescbc, secretbox } = provider;
      // Of several in one element only the first is looked at, in this order.
      if (kms !== undefined) {
        errors.push(...kmsProvider(kms, `${path}.kms`, kmsNames, options));
        kmsNames.add(kms.name);
      } else if (aesgcm !== undefined) errors.push(...keys(aesgcm, `${path}.aesgcm.keys`, AES_KEY_BYTES));
      else if (aescbc !== undefined) errors.push(...keys(aescbc, `${path}.aescbc.keys`, AES_KEY_BYTES));
      else if (secretbox !== undefined) {
        errors.push(...keys(secretbox, `${path}.secretbox.keys`, SECRETBOX_KEY_BYTES));
      }
    }
  }
  return errors;
}

function overlaps(resources: readonly string[], path: string): readonly FieldError[] {
  const parsed = resources.map(parseGroupResource);
  let duplicate = false;
  let overlap = false;
  for (const [i, a] of parsed.entries()) {
    for (const [j, b] of parsed.entries()) {
      if (i === j) continue;
      const same = a.group === b.group && a.resource === b.resource;
      // The reference looks for overlaps only after the first duplicate pair is counted; so does this.
      if (same && !duplicate) {
        duplicate = true;
        continue;
      }
      const anyGroupAnyResource = a.group === ANY && a.resource === ANY;
      const wildcardInGroup = a.group === b.group && (a.resource === ANY || b.resource === ANY);
      if (anyGroupAnyResource || wildcardInGroup) overlap = true;
    }
  }
  const errors: FieldError[] = [];
  if (duplicate) {
    errors.push(invalid(path, resources, 'the same resource cannot be specified multiple times'));
  }
  if (overlap) {
    errors.push(
      invalid(
        path,
        resources,
        "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked",
      ),
    );
  }
  return errors;
}

/** Kept in etcd by the API server itself, without an API to rewrite them. */
const NO_REST_API = ['apiserveripinfo', 'serviceipallocations', 'servicenodeportallocations'];

function resourceName(name: string, path: string): readonly FieldError[] {
  const { group, resource } = parseGroupResource(name);
  const refuse = (reason: string): readonly FieldError[] => [invalid(path, name, reason)];
  if (name.toLowerCase() !== name) return refuse('resource name should not contain capital letters');
  if (name === ANY) {
    return refuse(
      "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources",
    );
  }
  if (NO_REST_API.includes(name)) return refuse('resources which do not have REST API/s cannot be encrypted');
  if (group === 'events.k8s.io') {
    return refuse(
      "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file",
    );
  }
  if (group === 'extensions') {
    return refuse("'extensions' group has been removed and cannot be used for encryption");
  }
  if (group === ANY && resource !== ANY) {
    return refuse('encrypting the same resource across groups is not supported');
  }
  return [];
}

function oneProvider(provider: ProviderConfiguration, path: string): readonly FieldError[] {
  const found = Object.keys(provider);
  if (found.length === 0) {
    return [
      {
        field: path,
        message:
          'Invalid value: {"AESGCM":null,"AESCBC":null,"Secretbox":null,"Identity":null,"KMS":null}: ' +
          'provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity',
      },
    ];
  }
  if (found.length > 1) {
    return [
      invalid(
        path,
        found.join(', '),
        'more than one provider specified in a single element, should split into different list elements',
      ),
    ];
  }
  return [];
}

function keys(
  config: KeysConfiguration,
  path: string,
  expectedBytes: readonly number[],
): readonly FieldError[] {
  if (config.keys.length === 0) return [required(path, 'at least one keys is required')];
  return config.keys.flatMap((key, i) => oneKey(key, `${path}[${i}]`, expectedBytes));
}

function oneKey(
  key: KeyConfiguration,
  path: string,
  expectedBytes: readonly number[],
): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (key.name === '') errors.push(required(`${path}.name`, 'name is a mandatory field for a key'));
  if (key.secret === '') {
    return [...errors, required(`${path}.secret`, 'secret is a mandatory field for a key')];
  }
  const bytes = decodeSecret(key.secret);
  if (bytes === undefined) {
    return [...errors, invalid(`${path}.secret`, 'REDACTED', 'secrets must be base64 encoded')];
  }
  if (!expectedBytes.includes(bytes.length)) {
    errors.push(
      invalid(
        `${path}.secret`,
        'REDACTED',
        `secret is not of the expected length, got ${bytes.length}, expected one of [${expectedBytes.join(' ')}]`,
      ),
    );
  }
  bytes.fill(0);
  return errors;
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** The key's bytes in a buffer of their own, or undefined when it is not base64. Line breaks are allowed, as in Go. */
export function decodeSecret(secret: string): Buffer | undefined {
  const text = secret.replace(/[\r\n]/g, '');
  if (!BASE64.test(text)) return undefined;
  // Not Buffer.from(text, 'base64') alone: that may lie in the pool all small buffers share.
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text, 'base64'));
  bytes.write(text, 'base64');
  return bytes;
}

function kmsProvider(
  kms: KmsConfiguration,
  path: string,
  earlierNames: ReadonlySet<string>,
  options: ValidateOptions,
): readonly FieldError[] {
  return [
    ...kmsName(kms, `${path}.name`, earlierNames, options),
    ...(kms.timeoutMs > 0
      ? []
      : [invalid(`${path}.timeout`, formatDuration(kms.timeoutMs), 'timeout should be a positive value')]),
    ...kmsEndpoint(kms.endpoint, `${path}.endpoint`),
    ...kmsCacheSize(kms, `${path}.cachesize`),
    ...(kms.apiVersion === 'v1' || kms.apiVersion === 'v2'
      ? []
      : [
          invalid(
            `${path}.apiVersion`,
            kms.apiVersion,
            'unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported',
          ),
        ]),
  ];
}

function kmsName(
  kms: KmsConfiguration,
  path: string,
  earlierNames: ReadonlySet<string>,
  options: ValidateOptions,
): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (kms.name === '') errors.push(required(path, 'name is a mandatory field for a provider'));
  if (kms.apiVersion !== 'v1' && kms.name.includes(':')) {
    errors.push(invalid(path, kms.name, `invalid KMS provider name ${kms.name}, must not contain ':'`));
  }
  if ((options.automaticReload || kms.apiVersion !== 'v1') && earlierNames.has(kms.name)) {
    errors.push(invalid(path, kms.name, `duplicate KMS provider name ${kms.name}, names must be unique`));
  }
  return errors;
}

function kmsEndpoint(endpoint: string, path: string): readonly FieldError[] {
  if (endpoint === '') return [invalid(path, '', 'endpoint is a mandatory field for a kms')];
  const parsed = parseKmsEndpoint(endpoint);
  if (parsed.problem !== undefined) {
    return [invalid(path, endpoint, `invalid endpoint for kms provider, error: ${parsed.problem}`)];
  }
  if (parsed.scheme !== 'unix') {
    const scheme = JSON.stringify(parsed.scheme);
    return [invalid(path, endpoint, `unsupported scheme ${scheme} for KMS provider, only unix is supported`)];
  }
  return [];
}

function kmsCacheSize(kms: KmsConfiguration, path: string): readonly FieldError[] {
  if (kms.cacheSize === undefined) return [];
  if (kms.apiVersion !== 'v1') return [invalid(path, kms.cacheSize, 'cachesize is not supported in v2')];
  if (kms.cacheSize !== 0) return [];
  return [invalid(path, 0, 'cachesize should be a positive value, or negative to disable')];
}

/** The resources of a valid configuration, each once, in order. */
export function configuredResources(config: EncryptionConfiguration): readonly string[] {
  const names = config.resources.flatMap(({ resources }) => resources);
  return [...new Set(names.map((name) => formatGroupResource(parseGroupResource(name))))];
}
