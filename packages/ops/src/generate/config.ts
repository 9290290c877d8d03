/** A first EncryptionConfiguration: the wanted provider writes, identity still reads what is there. */
import { checkEncryptionConfig } from '@waxseal/encryption-config';
import { OpsError } from '../errors.js';
import { renderConfiguration } from '../rotate/render-configuration.js';
import { createTargetProvider, type MigrationTarget } from './target.js';

/**
 * For a new cluster, or one API server. A running cluster with several of them needs `planMigration`.
 *
 * @param resources as a configuration writes them: `secrets`, `deployments.apps`, `*.*`
 * @throws OpsError invalid-option
 */
export function generateConfig(resources: readonly string[], target: MigrationTarget): string {
  const provider = createTargetProvider(target, { resources: [] })();
  const providers = target.kind === 'identity' ? [provider] : [provider, { identity: {} }];
  const text = renderConfiguration({ resources: [{ resources, providers }] });
  const { message } = checkEncryptionConfig(text, { fileName: 'the configuration', automaticReload: true });
  if (message !== undefined) throw new OpsError('invalid-option', message);
  return text;
}
