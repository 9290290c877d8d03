/**
 * The text of a configuration file as an EncryptionConfiguration with its defaults.
 *
 * Source of the rule: k8s.io/apiserver `pkg/apis/apiserver/v1` and its strict decoder: kinds
 * `apiserver.config.k8s.io/v1 EncryptionConfiguration` and `v1 EncryptionConfig`; unknown and repeated fields are
 * errors; null is the same as absent; names are case-sensitive.
 */
import type {
  EncryptionConfiguration,
  KeyConfiguration,
  KeysConfiguration,
  KmsConfiguration,
  ProviderConfiguration,
  ResourceConfiguration,
} from './config.js';
import { parseDocument, type Plain } from './document.js';
import { parseDuration } from './duration.js';
import type { FieldError } from './field-error.js';

const DEFAULT_KMS_TIMEOUT_MS = 3000;
const DEFAULT_KMS_API_VERSION = 'v1';
const DEFAULT_KMS_V1_CACHE_SIZE = 1000;

const KINDS = ['apiserver.config.k8s.io/v1 EncryptionConfiguration', 'v1 EncryptionConfig'];

export type ParsedConfiguration =
  | { readonly config: EncryptionConfiguration; readonly errors?: undefined }
  | { readonly config?: undefined; readonly errors: readonly FieldError[] };

/** @param fileName named in errors, not opened */
export function parseEncryptionConfig(text: string, fileName: string): ParsedConfiguration {
  const failed = (messages: readonly FieldError[]): ParsedConfiguration => ({
    errors: messages.map(({ field, message }) => ({
      field,
      message: `error decoding encryption provider configuration file ${JSON.stringify(fileName)}: ${message}`,
    })),
  });
  const nowhere = (message: string): FieldError => ({ field: '', message });

  const document = parseDocument(text);
  if (document.kind === 'syntax-error') return failed([nowhere(document.message)]);
  const decoder = new Decoder();
  const root = decoder.map(document.value, '');
  if (root === undefined) {
    return failed([nowhere("couldn't get version/kind; the document must be one map of fields")]);
  }
  const apiVersion = decoder.string(root['apiVersion'], 'apiVersion');
  const kind = decoder.string(root['kind'], 'kind');
  if (decoder.errors.length > 0) return failed(decoder.errors);
  if (kind === '') return failed([nowhere(`Object 'Kind' is missing, expected one of: ${KINDS.join(', ')}`)]);
  if (apiVersion === '') {
    return failed([nowhere(`Object 'apiVersion' is missing, expected one of: ${KINDS.join(', ')}`)]);
  }
  if (!KINDS.includes(`${apiVersion} ${kind}`)) {
    const [given, version] = [JSON.stringify(kind), JSON.stringify(apiVersion)];
    return failed([
      nowhere(`no kind ${given} is registered for version ${version}, expected ${KINDS.join(' or ')}`),
    ]);
  }

  const config = decodeConfiguration(decoder, root);
  // A type that does not fit ends decoding in the reference; what strictness finds is reported together.
  if (decoder.errors.length > 0) return failed(decoder.errors);
  const strict = [...document.duplicateKeys.map(nowhere), ...decoder.unknownFields];
  if (strict.length > 0) {
    return failed(strict.map((error) => ({ ...error, message: `strict decoding error: ${error.message}` })));
  }
  return { config };
}

type Fields = Readonly<Record<string, Plain | undefined>>;

class Decoder {
  readonly errors: FieldError[] = [];
  readonly unknownFields: FieldError[] = [];

  map(value: Plain | undefined, path: string): Fields | undefined {
    if (value === null || value === undefined) return path === '' ? {} : undefined;
    if (typeof value === 'object' && !Array.isArray(value)) return value as Fields;
    if (path !== '') this.#mismatch(path, 'a map', value);
    return undefined;
  }

  /** A map whose fields are all in `known`. */
  struct(value: Plain | undefined, path: string, known: readonly string[]): Fields | undefined {
    const fields = this.map(value, path);
    for (const name of Object.keys(fields ?? {})) {
      if (known.includes(name)) continue;
      const field = path === '' ? name : `${path}.${name}`;
      this.unknownFields.push({ field, message: `unknown field ${JSON.stringify(field)}` });
    }
    return fields;
  }

  list<T>(value: Plain | undefined, path: string, decode: (item: Plain, path: string) => T): readonly T[] {
    if (value === null || value === undefined) return [];
    if (Array.isArray(value)) {
      return (value as readonly Plain[]).map((item, i) => decode(item, `${path}[${i}]`));
    }
    this.#mismatch(path, 'a list', value);
    return [];
  }

  string(value: Plain | undefined, path: string): string {
    if (value === null || value === undefined) return '';
    if (typeof value === 'string') return value;
    this.#mismatch(path, 'a string (quote it)', value);
    return '';
  }

  int32(value: Plain | undefined, path: string): number | undefined {
    if (value === null || value === undefined) return undefined;
    if (typeof value === 'number' && (value | 0) === value) return value;
    this.#mismatch(path, 'a 32-bit integer', value);
    return undefined;
  }

  durationMs(value: Plain | undefined, path: string): number | undefined {
    if (value === null || value === undefined) return undefined;
    if (typeof value !== 'string') {
      this.#mismatch(path, 'a duration such as "3s"', value);
      return undefined;
    }
    const parsed = parseDuration(value);
    if ('ms' in parsed) return parsed.ms;
    this.errors.push({ field: '', message: `${path}: ${parsed.problem}, write for example 3s or 500ms` });
    return undefined;
  }

  /** Names the types only: the value may be a key in the wrong place. */
  #mismatch(path: string, expected: string, value: Plain): void {
    const given = Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'a map' : `a ${typeof value}`;
    this.errors.push({ field: '', message: `${path}: must be ${expected}, not ${given}` });
  }
}

function decodeConfiguration(decoder: Decoder, root: Fields): EncryptionConfiguration {
  decoder.struct(root as Plain, '', ['apiVersion', 'kind', 'resources']);
  return {
    resources: decoder.list(root['resources'], 'resources', (item, path) =>
      decodeResource(decoder, item, path),
    ),
  };
}

function decodeResource(decoder: Decoder, value: Plain, path: string): ResourceConfiguration {
  const fields = decoder.struct(value, path, ['resources', 'providers']);
  return {
    resources: decoder.list(fields?.['resources'], `${path}.resources`, (item, itemPath) =>
      decoder.string(item, itemPath),
    ),
    providers: decoder.list(fields?.['providers'], `${path}.providers`, (item, itemPath) =>
      decodeProvider(decoder, item, itemPath),
    ),
  };
}

function decodeProvider(decoder: Decoder, value: Plain, path: string): ProviderConfiguration {
  const fields = decoder.struct(value, path, ['aesgcm', 'aescbc', 'secretbox', 'identity', 'kms']);
  const aesgcm = decodeKeys(decoder, fields?.['aesgcm'], `${path}.aesgcm`);
  const aescbc = decodeKeys(decoder, fields?.['aescbc'], `${path}.aescbc`);
  const secretbox = decodeKeys(decoder, fields?.['secretbox'], `${path}.secretbox`);
  const identity = decoder.struct(fields?.['identity'], `${path}.identity`, []);
  const kms = decodeKms(decoder, fields?.['kms'], `${path}.kms`);
  return {
    ...(aesgcm === undefined ? {} : { aesgcm }),
    ...(aescbc === undefined ? {} : { aescbc }),
    ...(secretbox === undefined ? {} : { secretbox }),
    ...(identity === undefined ? {} : { identity: {} }),
    ...(kms === undefined ? {} : { kms }),
  };
}

function decodeKeys(decoder: Decoder, value: Plain | undefined, path: string): KeysConfiguration | undefined {
  const fields = decoder.struct(value, path, ['keys']);
  if (fields === undefined) return undefined;
  return { keys: decoder.list(fields['keys'], `${path}.keys`, (item, at) => decodeKey(decoder, item, at)) };
}

function decodeKey(decoder: Decoder, value: Plain, path: string): KeyConfiguration {
  const fields = decoder.struct(value, path, ['name', 'secret']);
  return {
    name: decoder.string(fields?.['name'], `${path}.name`),
    secret: decoder.string(fields?.['secret'], `${path}.secret`),
  };
}

function decodeKms(decoder: Decoder, value: Plain | undefined, path: string): KmsConfiguration | undefined {
  const fields = decoder.struct(value, path, ['apiVersion', 'name', 'cachesize', 'endpoint', 'timeout']);
  if (fields === undefined) return undefined;
  const apiVersion = decoder.string(fields['apiVersion'], `${path}.apiVersion`) || DEFAULT_KMS_API_VERSION;
  const cacheSize = decoder.int32(fields['cachesize'], `${path}.cachesize`);
  return {
    apiVersion,
    name: decoder.string(fields['name'], `${path}.name`),
    cacheSize: cacheSize ?? (apiVersion === 'v1' ? DEFAULT_KMS_V1_CACHE_SIZE : undefined),
    endpoint: decoder.string(fields['endpoint'], `${path}.endpoint`),
    timeoutMs: decoder.durationMs(fields['timeout'], `${path}.timeout`) ?? DEFAULT_KMS_TIMEOUT_MS,
  };
}
