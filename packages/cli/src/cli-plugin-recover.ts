/** `waxseal plugin recover-dek`: its options. */
import type { Command } from 'commander';
import { parsePath } from './options.js';

export function addRecoverDek(plugin: Command): void {
  plugin
    .command('recover-dek')
    .description(
      'Recover the DEK source of a stored value, or its object, with the private half of an escrow key.',
    )
    .requiredOption('--identity <file>', 'age identity file, or RSA private key as PEM', parsePath)
    .option('--value <file>', 'the stored value (-: standard input)', parsePath, '-')
    .option('--object', 'open the object itself, not only its DEK source', false)
    .option('--key <key>', 'storage key of the object (default: as the input says)')
    .option('--out <file>', 'a new file (0600) for what is recovered', parsePath)
    .option('--stdout', 'print it instead', false)
    .addHelpText(
      'after',
      `
The value is bytes or base64 as they are stored, the output of etcdctl get -w json, or JSON with keyId, encryptedDEKSource
and annotations (base64 inside). Works without any key service: bring the identity from its safe, and take it away again.

Example:
  $ etcdctl get /registry/secrets/default/db -w json |
      waxseal plugin recover-dek --identity ./escrow-identity.txt --object --out ./db.secret`,
    )
    .action(async (options) => (await import('./commands/plugin-recover-dek.js')).pluginRecoverDek(options));
}
