/**
 * Fixed keys from the configuration file that also names the principals:
 *
 * ```yaml
 * accounts:
 *   - id: "123456789012"
 *     keys:
 *       - region: us-east-1
 *         keyId: 1234abcd-12ab-34cd-56ef-1234567890ab
 *         alias: alias/app
 *         spec: SYMMETRIC_DEFAULT            # the default
 *         usage: ENCRYPT_DECRYPT             # needed where the spec has several
 *         material: …                        # base64, for tests only
 *         policy: { Version: "2012-10-17", Statement: […] }
 * ```
 *
 * Also: `origin`, `description`, `tags`. docs/key-service.md tells what happens at each start. Unknown members are refused.
 */
import { parseConfigYaml, yamlFault } from '../config-yaml.js';
import { KeyServiceError } from '../errors.js';
import { isJsonObject, type JsonObject } from '../http/json-body.js';
import { isMaterialOf } from './import-material.js';
import { isKeyId } from './key-id.js';
import type { Tag } from './key-record.js';
import {
  allowsUsage,
  isAsymmetric,
  isKeySpec,
  KEY_USAGES,
  type KeySpec,
  type KeyUsage,
  secretKeyBytes,
} from './key-specs.js';

export interface KeySeed {
  readonly accountId: string;
  readonly region: string;
  readonly keyId: string;
  readonly keySpec: KeySpec;
  readonly keyUsage: KeyUsage;
  readonly origin: 'AWS_KMS' | 'EXTERNAL';
  /** With its `alias/` prefix. */
  readonly aliasName?: string;
  readonly description?: string;
  /** JSON text. */
  readonly policy?: string;
  readonly tags?: readonly Tag[];
  /** Raw bytes, or PKCS#8 DER. Absent: made at random when the key is. */
  readonly material?: Buffer;
}

const MEMBERS = [
  'region',
  'keyId',
  'alias',
  'spec',
  'usage',
  'origin',
  'description',
  'material',
  'policy',
  'tags',
];

/**
 * The `keys` of every account; a file without any has none.
 *
 * @param options.allowPlaintext without it `material` is refused: a key that lies in a file is for tests
 * @throws KeyServiceError invalid-seeds; the message names the place in the file, never material
 */
export function parseKeySeeds(
  yaml: string,
  options: { readonly allowPlaintext: boolean },
): readonly KeySeed[] {
  const document = parseConfigYaml(yaml);
  if (document === undefined) throw invalid('the file', yamlFault(yaml));
  const accounts = isJsonObject(document) ? document['accounts'] : undefined;
  if (!Array.isArray(accounts)) throw invalid('accounts', 'must be a list');
  const seeds = accounts.flatMap((account: unknown, index) =>
    readAccount(account, `accounts[${index}]`, options.allowPlaintext),
  );
  const seen = new Set<string>();
  for (const { accountId, region, keyId } of seeds) {
    const name = `${region} ${accountId} ${keyId}`;
    if (seen.has(name)) throw invalid(name, 'is there twice');
    seen.add(name);
  }
  const aliases = new Map<string, string>();
  for (const { accountId, region, keyId, aliasName } of seeds) {
    if (aliasName === undefined) continue;
    const name = `${region} ${accountId} ${aliasName}`;
    const other = aliases.get(name);
    if (other !== undefined) throw invalid(name, `is given to two keys, ${other} and ${keyId}`);
    aliases.set(name, keyId);
  }
  return seeds;
}

function readAccount(account: unknown, at: string, allowPlaintext: boolean): readonly KeySeed[] {
  if (!isJsonObject(account)) throw invalid(at, 'must be a mapping');
  const { id, keys = [] } = account;
  if (typeof id !== 'string' || !/^\d{12}$/.test(id))
    throw invalid(`${at}.id`, 'must be 12 digits in quotes');
  if (!Array.isArray(keys)) throw invalid(`${at}.keys`, 'must be a list');
  return keys.map((key: unknown, index) => readKey(id, key, `${at}.keys[${index}]`, allowPlaintext));
}

function readKey(accountId: string, value: unknown, at: string, allowPlaintext: boolean): KeySeed {
  if (!isJsonObject(value)) throw invalid(at, 'must be a mapping');
  const unknown = Object.keys(value).find((name) => !MEMBERS.includes(name));
  if (unknown !== undefined) {
    throw invalid(at, `has an unknown member '${unknown}'; known are ${MEMBERS.join(', ')}`);
  }
  const { region, keyId, spec = 'SYMMETRIC_DEFAULT', origin = 'AWS_KMS' } = value;
  if (typeof region !== 'string' || !/^([a-z]+-){2,3}\d+$/.test(region)) {
    throw invalid(`${at}.region`, 'must be a Region such as us-east-1');
  }
  if (typeof keyId !== 'string' || !isKeyId(keyId)) {
    throw invalid(`${at}.keyId`, 'must be a UUID, or mrk- and 32 hexadecimal digits, in small letters');
  }
  if (typeof spec !== 'string' || !isKeySpec(spec))
    throw invalid(`${at}.spec`, 'must be a key spec such as SYMMETRIC_DEFAULT, RSA_2048 or ECC_NIST_P256');
  if (origin !== 'AWS_KMS' && origin !== 'EXTERNAL') {
    throw invalid(`${at}.origin`, 'must be AWS_KMS or EXTERNAL');
  }
  const material = readMaterial(value['material'], spec, `${at}.material`, allowPlaintext);
  if (material !== undefined && origin === 'EXTERNAL') {
    throw invalid(`${at}.material`, 'cannot be given to a key of origin EXTERNAL: import it');
  }
  return {
    accountId,
    region,
    keyId,
    keySpec: spec,
    keyUsage: readUsage(value['usage'], spec, `${at}.usage`),
    origin,
    ...readOptional(value, at),
    ...(material === undefined ? {} : { material }),
  };
}

function readUsage(value: unknown, spec: KeySpec, at: string): KeyUsage {
  const allowed = KEY_USAGES.filter((usage) => allowsUsage(spec, usage));
  const usage =
    value === undefined && allowed.length === 1 ? allowed[0] : allowed.find((one) => one === value);
  if (usage === undefined) throw invalid(at, `must be ${allowed.join(' or ')} for ${spec}`);
  return usage;
}

type Optional = Pick<KeySeed, 'aliasName' | 'description' | 'policy' | 'tags'>;

function readOptional({ alias, description, policy, tags }: JsonObject, at: string): Optional {
  if (alias !== undefined && (typeof alias !== 'string' || !/^alias\/(?!aws\/)[\w/-]{1,250}$/.test(alias))) {
    throw invalid(`${at}.alias`, 'must be alias/ and letters, digits or /_-, and not alias/aws/');
  }
  if (description !== undefined && (typeof description !== 'string' || description.length > 8192)) {
    throw invalid(`${at}.description`, 'must be a text of at most 8192 characters');
  }
  if (policy !== undefined && typeof policy !== 'string' && !isJsonObject(policy)) {
    throw invalid(`${at}.policy`, 'must be a policy document, as a mapping or as JSON text');
  }
  return {
    ...(alias === undefined ? {} : { aliasName: alias }),
    ...(description === undefined ? {} : { description }),
    ...(policy === undefined ? {} : { policy: typeof policy === 'string' ? policy : JSON.stringify(policy) }),
    ...(tags === undefined ? {} : { tags: readTags(tags, `${at}.tags`) }),
  };
}

function readTags(value: unknown, at: string): readonly Tag[] {
  if (!isJsonObject(value)) throw invalid(at, 'must be a mapping of keys to values');
  return Object.entries(value).map(([TagKey, TagValue]) => {
    if (typeof TagValue !== 'string') throw invalid(`${at}.${TagKey}`, 'must be a text');
    return { TagKey, TagValue };
  });
}

function readMaterial(
  value: unknown,
  spec: KeySpec,
  at: string,
  allowPlaintext: boolean,
): Buffer | undefined {
  if (value === undefined) return undefined;
  if (!allowPlaintext) {
    throw invalid(
      at,
      'is key material in plaintext. Start with --allow-plaintext-seeds if this is a test, or leave it out',
    );
  }
  const material = typeof value === 'string' ? Buffer.from(value, 'base64') : Buffer.alloc(0);
  if (material.toString('base64') !== value) throw invalid(at, 'must be base64');
  if (!isMaterialOf(spec, material))
    throw invalid(at, `is not key material of ${spec}: ${expected(spec)}, in base64`);
  return material;
}

function expected(spec: KeySpec): string {
  return isAsymmetric(spec) ? 'a private key in PKCS#8 DER' : `${secretKeyBytes(spec)} bytes`;
}

function invalid(at: string, what: string): KeyServiceError {
  return new KeyServiceError('invalid-seeds', `Fixed keys: ${at} ${what}.`);
}
