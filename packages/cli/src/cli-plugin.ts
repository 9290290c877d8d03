/** The options of `waxseal plugin …`: what is common to all providers, and the list of its commands. */
import type { Command } from 'commander';
import { addLocal, addPkcs11 } from './cli-plugin-machine.js';
import { addAws } from './cli-plugin-aws.js';
import { addRecoverDek } from './cli-plugin-recover.js';
import { addConformance } from './cli-plugin-conformance.js';
import { addExplain } from './cli-plugin-explain.js';
import { addServe } from './cli-plugin-serve.js';
import { addAzure, addGcp, addVault, addWaxseal } from './cli-plugin-providers.js';

/** Every command of `waxseal plugin`, in the order of `--help`. */
const commands: readonly ((plugin: Command) => void)[] = [
  addLocal,
  addServe,
  addAws,
  addWaxseal,
  addAzure,
  addGcp,
  addVault,
  addPkcs11,
  addRecoverDek,
  addConformance,
  addExplain,
];

export function addPlugin(program: Command): void {
  const plugin = program
    .command('plugin')
    .description('The KMS plugin: v1beta1 and v2 on one unix socket, for kube-apiserver 1.29 and later.')
    .addHelpText(
      'after',
      `
Example:
  $ waxseal plugin local --keyring ./keyring.json --listen unix:///run/waxseal/kms.sock`,
    );
  for (const add of commands) add(plugin);
}
