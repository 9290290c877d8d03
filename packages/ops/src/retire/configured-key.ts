/** Whether an EncryptionConfiguration has a key, so that a misspelt name is refused before anything is looked at. */
import { readEncryptionConfig } from '@waxseal/encryption-config';
import { OpsError } from '../errors.js';
import { readersByRule } from '../lint/readers.js';
import type { KeyReference } from './key-reference.js';

/**
 * A KMS's keyID stands in no configuration: where there is a KMS provider, a name alone or with `kms` may be one, and passes.
 *
 * @throws OpsError config-invalid; invalid-option: the configuration has no such key
 */
export function refuseUnconfiguredKey(
  { text, name, providers }: KeyReference,
  configuration: { readonly file: string; readonly text: string },
): void {
  const { file } = configuration;
  const { config, message } = readEncryptionConfig(configuration.text, {
    fileName: file,
    kmsV1Enabled: true,
  });
  if (config === undefined) throw new OpsError('config-invalid', `${file} cannot be used: ${message}`);
  const readers = [...readersByRule(config).values()]
    .flat()
    .filter(({ kind }) => kind !== 'identity' && (providers === undefined || providers.includes(kind)));
  if (readers.some((reader) => reader.name === name || reader.kind === 'kms-v2')) return;
  const known = [...new Set(readers.map((reader) => `${reader.kind}:${reader.name}`))];
  const has = known.length === 0 ? 'It has none of that provider.' : `It has ${known.join(', ')}.`;
  throw new OpsError('invalid-option', `${file} has no key ${text}. ${has}`);
}
