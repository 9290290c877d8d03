/**
 * The keys of a key set: its provider, and with it the recipients every DEK is wrapped for as well and the readers of older values, which make
 * it a group.
 */
import { readFile } from 'node:fs/promises';
import { KmsPluginError } from '../errors.js';
import { recipientsNeedV2, type KeySetOptions } from '../key-set.js';
import type { Provider } from '../provider.js';
import { createEscrowKey } from '../recipients/escrow-key.js';
import { createKeyGroup, type EscrowRecipient, type GroupKey } from '../recipients/key-group.js';
import { writePolicies } from '../recipients/wrap-for-recipients.js';
import { readProvider, type CreateProvider } from './provider-settings.js';
import { given, type Settings } from './settings.js';

/** The fields that make the provider what it is. */
export const keyFields = [
  'provider',
  'providerName',
  'recipients',
  'readers',
  'writePolicy',
  'recipientsInKeyId',
  'recipientTimeoutMs',
  'fallbackAfterMs',
] as const;

const timeRange = { min: 1, max: 60_000 };

interface NamedKey {
  readonly name: string;
  readonly create: CreateProvider;
}

type NamedRecipient = NamedKey | { readonly name: string; readonly publicKey: () => Promise<string> };

/** @returns undefined when something is wrong; the problems say what */
export function readKeys(
  settings: Settings,
  versions: KeySetOptions['versions'],
): CreateProvider | undefined {
  const primary = readProvider(settings.requiredSection('provider'));
  const name = settings.optionalText('providerName');
  const recipients = settings.sections('recipients').map(readRecipient);
  const readers = settings.sections('readers').map(readNamedKey);
  if (recipients.length > 0 && versions?.includes('v1') === true)
    settings.problem('versions', `there are recipients, and ${recipientsNeedV2}`);
  const more = given({
    writePolicy: settings.choice('writePolicy', writePolicies),
    recipientsInKeyId: settings.flag('recipientsInKeyId'),
    recipientTimeoutMs: settings.wholeNumber('recipientTimeoutMs', timeRange),
    fallbackAfterMs: settings.wholeNumber('fallbackAfterMs', timeRange),
  });
  if (primary === undefined || recipients.includes(undefined) || readers.includes(undefined))
    return undefined;
  // A name alone makes a group too: a recipient that became the primary is found by it.
  if (recipients.length === 0 && readers.length === 0 && name === undefined) return primary;
  return async () => {
    const made: Provider[] = [];
    const make = async (create: CreateProvider): Promise<Provider> => {
      const provider = await create();
      made.push(provider);
      return provider;
    };
    try {
      const members: (GroupKey | EscrowRecipient)[] = [];
      for (const recipient of recipients.filter((one) => one !== undefined)) {
        members.push(
          'create' in recipient
            ? { name: recipient.name, provider: await make(recipient.create) }
            : { name: recipient.name, escrow: await createEscrowKey(await recipient.publicKey()) },
        );
      }
      const old: GroupKey[] = [];
      for (const reader of readers.filter((one) => one !== undefined)) {
        old.push({ name: reader.name, provider: await make(reader.create) });
      }
      return createKeyGroup({
        primary: { provider: await make(primary), ...given({ name }) },
        recipients: members,
        readers: old,
        ...more,
      });
    } catch (error) {
      await Promise.all(made.map((provider) => provider.close()));
      throw error;
    }
  };
}

function readNamedKey(settings: Settings): NamedKey | undefined {
  const name = settings.text('name');
  const create = readProvider(settings.requiredSection('provider'));
  settings.end();
  return create === undefined ? undefined : { name, create };
}

async function readPublicKey(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new KmsPluginError(
      'config_unreadable',
      `The escrow key ${file} cannot be read. Check the path and its permissions.`,
      cause,
    );
  }
}

/** A recipient has a provider, or is known by its public key alone. */
function readRecipient(settings: Settings): NamedRecipient | undefined {
  const escrow = settings.section('escrow');
  if (escrow === undefined) return readNamedKey(settings);
  const name = settings.text('name');
  const [text, file] = [escrow.optionalText('publicKey'), escrow.optionalFile('publicKeyFile')];
  if ((text === undefined) === (file === undefined)) {
    settings.problem('escrow', 'give either publicKey or publicKeyFile.');
  }
  escrow.end();
  settings.end();
  return { name, publicKey: async () => text ?? (file === undefined ? '' : readPublicKey(file)) };
}
