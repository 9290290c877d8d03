/**
 * Why a value that a provider recognised does not open: cut short, not understood, refused by the KMS, moved, under another key, or
 * changed.
 */
import type { EncryptionConfiguration, KmsConnectors } from '@waxseal/encryption-config';
import {
  DEK_SOURCE_TYPE,
  decodeEncryptedObject,
  EnvelopeError,
  errorMessage,
  newRequestUid,
  type RandomBytes,
  type Transformer,
} from '@waxseal/envelope';
import { objectPaths, type ObjectPath } from '../object-path.js';
import type { StoredValueKind } from '../stored-value.js';
import type { Finding } from './causes.js';
import { kmsFinding } from './kms-cause.js';
import { bodyOf, configuredPrefixes, endsWithinPrefix, nearPrefix } from './prefix-damage.js';
import { isCutObject, readObjectIdentity } from './stored-object.js';
import {
  beginsAsObject,
  unverifiedCbc,
  unverifiedGcm,
  unverifiedKmsV2,
  unverifiedSecretbox,
  type Decipher,
} from './unverified.js';

/** `undecided`: no key that is there fits; it is a wrong key unless another value opens under it. */
type Diagnosis = Finding | { readonly cause: 'undecided'; readonly message: string };

export interface Subject {
  readonly key: string;
  readonly path: ObjectPath;
  readonly value: Buffer;
  readonly kind: StoredValueKind;
  readonly transformer: Transformer;
}

export interface Diagnoser {
  /** The connectors to build the transformers with, so that failed values can be asked about again. */
  readonly connectors: KmsConnectors;
  diagnose(subject: Subject, error: unknown): Promise<Diagnosis>;
  /** Wipes the keys it holds. */
  close(): void;
}

export interface DiagnoserOptions {
  readonly config: EncryptionConfiguration;
  readonly connectors: KmsConnectors;
  readonly randomBytes: RandomBytes;
  /** Where API servers keep their objects: other prefixes a value may have been moved from. */
  readonly prefixes: readonly string[];
}

const DECIPHERS: Readonly<Record<'aesgcm' | 'aescbc' | 'secretbox', Decipher>> = {
  aesgcm: unverifiedGcm,
  aescbc: unverifiedCbc,
  secretbox: unverifiedSecretbox,
};

const KMS_V1_TRIES_MAX = 8;

const TRUNCATED =
  /shorter than the required size|multiple of the block size|uint16 length prefixed|premature EOF|missing the required info prefix|index out of range/;

export function createDiagnoser(options: DiagnoserOptions): Diagnoser {
  const v1Clients: ReturnType<KmsConnectors['connectKmsV1']>[] = [];
  const v2Clients: ReturnType<KmsConnectors['connectKmsV2']>[] = [];
  const staticKeys = staticKeysOf(options.config);
  const prefixes = configuredPrefixes(options.config);

  const unverified = async ({ value, kind }: Subject): Promise<readonly Buffer[]> => {
    switch (kind.provider) {
      case 'aesgcm':
      case 'aescbc':
      case 'secretbox': {
        const body = bodyOf(value);
        const decipher = DECIPHERS[kind.provider];
        return (staticKeys.get(`${kind.provider}:${kind.key}`) ?? []).flatMap(
          (key) => decipher(key, body) ?? [],
        );
      }
      case 'kms-v1': {
        const body = bodyOf(value);
        const end = 2 + body.readUInt16BE(0);
        return unwrapped(
          v1Clients,
          (client) => client.decrypt(Buffer.from(body.subarray(2, end))),
          (dek) => [unverifiedGcm(dek, body.subarray(end)), unverifiedCbc(dek, body.subarray(end))],
        );
      }
      case 'kms-v2': {
        const object = decodeEncryptedObject(bodyOf(value));
        const request = {
          ciphertext: object.encryptedDekSource,
          keyId: object.keyId,
          annotations: object.annotations,
        };
        return unwrapped(
          v2Clients,
          (client) => client.decrypt(newRequestUid(options.randomBytes), request),
          // The type may be what was changed.
          (source) =>
            Object.values(DEK_SOURCE_TYPE).map((type) => unverifiedKmsV2(type, source, object.encryptedData)),
        );
      }
      case 'identity':
      case 'unknown':
        return [];
      default:
        return kind.provider satisfies never;
    }
  };

  /** Where the value opens instead of at its key, or undefined. */
  const openingPlace = async (subject: Subject, hints: readonly Buffer[]): Promise<string | undefined> => {
    let tried = 0;
    for (const candidate of candidatePlaces(subject, hints, options.prefixes)) {
      // Where DEKs are not kept in memory each try of KMS v1 is a call.
      if (subject.kind.provider === 'kms-v1' && tried++ >= KMS_V1_TRIES_MAX) return undefined;
      try {
        const { data } = await subject.transformer.transformFromStorage(
          subject.value,
          Buffer.from(candidate),
        );
        const opens = beginsAsObject(data);
        data.fill(0);
        if (opens) return candidate;
      } catch (error) {
        if (!(error instanceof EnvelopeError)) throw error;
      }
    }
    return undefined;
  };

  return {
    connectors: {
      connectKmsV1: (connection) => remembered(v1Clients, options.connectors.connectKmsV1(connection)),
      connectKmsV2: (connection) => remembered(v2Clients, options.connectors.connectKmsV2(connection)),
    },

    async diagnose(subject, error) {
      const said = errorMessage(error);
      const failures = flatten(error);
      const kms = failures.find(({ code }) => code === 'kms-failed');
      if (kms !== undefined) return kmsFinding(kms.cause, subject.kind.kmsName ?? '');
      if (failures.some(({ code }) => code === 'no-matching-prefix' || code === 'encrypted-data')) {
        return unread(subject, prefixes);
      }
      if (failures.length > 0 && failures.every(({ code }) => code !== 'decryption-failed')) {
        return { cause: TRUNCATED.test(said) ? 'truncated' : 'malformed', message: said };
      }
      const hints = await unverified(subject).catch(() => []);
      const fitting = hints.filter(beginsAsObject);
      try {
        if (fitting.length === 0) return { cause: 'undecided', message: said };
        const place = await openingPlace(subject, fitting);
        if (place !== undefined) {
          return { cause: 'moved', message: `it was written as ${place} and opens only there` };
        }
        if (fitting.some(isCutObject)) {
          return { cause: 'truncated', message: `the key is right, but the object in it is cut (${said})` };
        }
        return {
          cause: 'authentication-failed',
          message: `the key is right, but the bytes were changed or cut (${said})`,
        };
      } finally {
        for (const hint of hints) hint.fill(0);
      }
    },

    close() {
      for (const keys of staticKeys.values()) for (const key of keys) key.fill(0);
    },
  };
}

function remembered<Client>(clients: Client[], client: Client): Client {
  clients.push(client);
  return client;
}

/** What the bytes look like under the DEK that any of the plugins unwraps. */
async function unwrapped<Client>(
  clients: readonly Client[],
  unwrap: (client: Client) => Promise<Buffer>,
  decipher: (dek: Buffer) => readonly (Buffer | undefined)[],
): Promise<readonly Buffer[]> {
  const opened: Buffer[] = [];
  for (const client of clients) {
    let dek: Buffer;
    try {
      dek = await unwrap(client);
    } catch {
      continue;
    }
    opened.push(...decipher(dek).filter((bytes) => bytes !== undefined));
    dek.fill(0);
  }
  return opened;
}

/** Every failure behind an error of the envelope package. */
function flatten(error: unknown): readonly EnvelopeError[] {
  if (!(error instanceof EnvelopeError)) return [];
  return error.code === 'several' ? error.errors.flatMap(flatten) : [error];
}

function staticKeysOf(config: EncryptionConfiguration): ReadonlyMap<string, readonly Buffer[]> {
  const keys = new Map<string, Buffer[]>();
  for (const { providers } of config.resources) {
    for (const provider of providers) {
      for (const name of ['aesgcm', 'aescbc', 'secretbox'] as const) {
        for (const key of provider[name]?.keys ?? []) {
          const id = `${name}:${key.name}`;
          const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(key.secret, 'base64'));
          const length = bytes.write(key.secret, 'base64');
          keys.set(id, [...(keys.get(id) ?? []), bytes.subarray(0, length)]);
        }
      }
    }
  }
  return keys;
}

/** No configured provider takes it: cut or changed in its prefix, or the provider is not there. */
function unread({ kind, path, value }: Subject, prefixes: readonly Buffer[]): Finding {
  const resource = path.group === '' ? path.resource : `${path.resource}.${path.group}`;
  if (endsWithinPrefix(value, prefixes)) {
    const message = value.length === 0 ? 'the value is empty' : 'it ends within its prefix';
    return { cause: 'truncated', message };
  }
  const near = nearPrefix(value, prefixes);
  const changed =
    near === undefined
      ? ''
      : `; but for a few bits it is ${near.toString()}, so the bytes may have been changed`;
  if (kind.provider === 'identity') {
    if (readObjectIdentity(value) === undefined && !beginsAsObject(value)) {
      const message = `it is neither sealed nor a Kubernetes object${changed}`;
      return { cause: 'malformed', message };
    }
    const message = `it is plaintext, and no provider identity is configured for ${resource}`;
    return { cause: 'provider-missing', message };
  }
  if (kind.provider === 'unknown') {
    const message = `no configured provider reads its prefix, and no Kubernetes provider writes one like it (${kind.problem ?? ''})${changed}`;
    return { cause: 'provider-missing', message };
  }
  const prefix = value.toString('latin1', 0, value.length - bodyOf(value).length).replace(/[^ -~]/g, '?');
  const message = `no provider for ${resource} in the configuration reads the prefix ${prefix}${changed}`;
  return { cause: 'provider-missing', message };
}

/** Storage keys the value may have been written under; few, and the likely ones first. */
function* candidatePlaces(
  { key, path }: Subject,
  hints: readonly Buffer[],
  prefixes: readonly string[],
): Generator<string> {
  const tailOf = ({ namespace, name }: { readonly namespace: string; readonly name: string }): string =>
    namespace === '' ? name : `${namespace}/${name}`;
  const ownTail = tailOf(path);
  const ownRoot = key.slice(0, key.length - ownTail.length);
  const identities = hints.flatMap((hint) => readObjectIdentity(hint) ?? []);
  const tails = new Set([...identities.flatMap(named).map(tailOf), ownTail]);
  for (const tail of tails) if (tail !== ownTail) yield `${ownRoot}${tail}`;
  const roots = prefixes.map((prefix) => prefix.replace(/\/+$/, ''));
  const ownResource = roots
    .map((root) => ownRoot.slice(root.length))
    .find((_, i) => ownRoot.startsWith(`${roots[i]}/`));
  if (ownResource !== undefined) {
    for (const tail of tails) {
      for (const root of roots) if (!key.startsWith(`${root}/`)) yield `${root}${ownResource}${tail}`;
    }
  }
  // An object that says it is the one of its key was written under no other resource.
  if (identities.some((each) => each.kind === path.kind && tailOf(each) === ownTail)) return;
  for (const tail of tails) {
    for (const root of roots) for (const resource of objectPaths) yield `${root}/${resource}/${tail}`;
  }
}

const named = (identity: {
  readonly namespace: string;
  readonly name: string;
}): readonly { readonly namespace: string; readonly name: string }[] =>
  identity.name === '' ? [] : [identity];
