/** A PIN or passphrase of `waxseal plugin …`: asked for at the start, and needed again at every reload. */
import { KmsPluginError } from '@waxseal/kms-plugin';
import { readPassphraseFile, readSecret, type SecretSource } from '../parts/secrets.js';

/**
 * A file is read anew each time; what came from the environment or a prompt is kept. None is told now.
 *
 * @throws CliError, or what reading the file throws
 */
export async function secretReader(
  file: string | undefined,
  source: SecretSource,
): Promise<() => Promise<Buffer>> {
  const first = await readSecret(file, source);
  if (file === undefined) return async () => Buffer.from(first);
  first.fill(0);
  return async () => {
    try {
      return readPassphraseFile(file);
    } catch (cause) {
      throw new KmsPluginError('credentials_invalid', `${file} cannot be read; check the file.`, cause);
    }
  };
}
