/**
 * Resource names of Cloud KMS keys and their versions.
 *
 * Source: the Cloud KMS reference, `projects.locations.keyRings.cryptoKeys[.cryptoKeyVersions]`.
 */
import { KmsPluginError } from '../errors.js';

export interface GcpKeyName {
  /** `projects/…/cryptoKeys/NAME`, as it was given. */
  readonly key: string;
  /** `cryptoKeyVersions/N`, when the name goes that far. */
  readonly version: string | undefined;
}

// Projects may carry a domain ("example.com:project"). Version numbers are int64s from 1 up.
const pattern =
  /^(projects\/((?:[a-z0-9.-]{1,100}:)?[a-z0-9-]{1,63})(\/locations\/[a-zA-Z0-9-]{1,63}\/keyRings\/[a-zA-Z0-9_-]{1,63}\/cryptoKeys\/[a-zA-Z0-9_-]{1,63}))(?:\/cryptoKeyVersions\/([1-9][0-9]{0,18}))?$/;
const nameMaxChars = 512;

/** Undefined when the text is no name of a key or key version. */
export function parseGcpKeyName(text: string): GcpKeyName | undefined {
  const match = text.length > nameMaxChars ? null : pattern.exec(text);
  const [, key, , , version] = match ?? [];
  return key === undefined ? undefined : { key, version };
}

/** @throws KmsPluginError `invalid_options` */
export function requireGcpKeyName(text: string): GcpKeyName {
  const name = parseGcpKeyName(text);
  if (name !== undefined) return name;
  throw new KmsPluginError(
    'invalid_options',
    `"${text}" is not the name of a Cloud KMS key. Use projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY.`,
  );
}

/**
 * The key of a stored `keyId`: the version's name, or the key's, with `:SUFFIX` behind it or without, as k8s-cloudkms-plugin answers it.
 * Undefined when it names no Cloud KMS key.
 */
export function parseGcpKeyId(keyId: string): GcpKeyName | undefined {
  const name = parseGcpKeyName(keyId);
  if (name !== undefined) return name;
  // A project may hold a colon, but then a slash follows it.
  const colon = keyId.indexOf(':', keyId.lastIndexOf('/'));
  return colon === -1 ? undefined : parseGcpKeyName(keyId.slice(0, colon));
}

/** Whether two names mean one key: a project's number and its id name the same project, and only Google knows which. */
export function isSameGcpKey(one: string, other: string): boolean {
  const [, , project, rest] = pattern.exec(one) ?? [];
  const [, , otherProject, otherRest] = pattern.exec(other) ?? [];
  if (project === undefined || otherProject === undefined || rest !== otherRest) return false;
  return project === otherProject || isNumber(project) !== isNumber(otherProject);
}

function isNumber(project: string): boolean {
  return /^[0-9]+$/.test(project);
}
