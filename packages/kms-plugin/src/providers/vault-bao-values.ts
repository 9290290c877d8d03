/**
 * Values of bao-kms-provider (dc-tec/openbao-kubernetes-kms), which binds each to cluster, OpenBao and key as additional authenticated data.
 * Most of that is in the value's annotations, three names are only in that plugin's configuration.
 *
 * Source: its documentation "Key ID And AAD", schema v1.
 */
import { createHash } from 'node:crypto';
import { ProviderError } from '../errors.js';
import type { Unwrap } from '../provider.js';
import { vaultFindings } from './vault-errors.js';

export interface BaoKmsProviderNames {
  /** `transit.keyIdScope.providerName` */
  readonly providerName: string;
  /** `transit.keyIdScope.clusterId` */
  readonly clusterId: string;
  /** `openbao.instanceId` */
  readonly instanceId: string;
}

const marker = 'openbao-transit';
const schema = 'v1';
const annotation = (name: string): string => `${name}.kms.openbao.org`;

export function isBaoValue({ annotations }: Unwrap): boolean {
  return annotations[annotation('provider')]?.toString('latin1') === marker;
}

/**
 * What such a value is bound to, base64 as the transit engine takes it.
 *
 * @param names of the plugin that wrote it; undefined: not configured
 * @param namespace of OpenBao, where there is one
 * @param version in the ciphertext
 * @throws ProviderError
 */
export function baoAssociatedData(
  value: Unwrap,
  names: BaoKmsProviderNames | undefined,
  namespace: string | undefined,
  version: number,
): string {
  if (names === undefined) throw new ProviderError('a value of bao-kms-provider', vaultFindings.unnamedBao);
  const { annotations, keyId } = value;
  const text = (name: string): string => annotations[annotation(name)]?.toString('latin1') ?? '';
  const mountHash = text('transit-mount-hash');
  const keyHash = text('transit-key-hash');
  const fits =
    text('aad-version') === schema &&
    text('transit-key-version') === String(version) &&
    [mountHash, keyHash].every((hash) => /^[\w-]{43}$/.test(hash));
  if (!fits || keyId === undefined)
    throw new ProviderError('annotations of bao-kms-provider that do not fit', vaultFindings.alteredBao);
  // The order is part of the schema.
  const bound = {
    aad_version: schema,
    purpose: 'kubernetes-etcd-kms-v2',
    provider: marker,
    provider_name: names.providerName,
    cluster_id_hash: hashed(names.clusterId),
    openbao_instance_hash: hashed(names.instanceId),
    ...(namespace === undefined ? {} : { openbao_namespace_hash: hashed(namespace) }),
    transit_mount_hash: mountHash,
    transit_key_hash: keyHash,
    key_id_hash: hashed(keyId),
    key_version: String(version),
  };
  return Buffer.from(goJson(bound)).toString('base64');
}

const hashed = (text: string): string => createHash('sha256').update(text).digest('base64url');

/** Go's encoding/json writes these characters as escapes. */
function goJson(value: object): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
