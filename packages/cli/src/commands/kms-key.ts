/** `waxseal kms key …`: keys of the running service, for people without an AWS client. */
import { readFileSync } from 'node:fs';
import type { KeyMetadata, KeySpec, KeyUsageType, KMSClient, OriginType } from '@aws-sdk/client-kms';
import { CliError, exitCodes } from '../errors.js';
import type { OutputFormat } from '../options.js';
import { type ConnectionOptions, type Sdk, withKmsClient } from '../parts/running-key-service.js';
import { formatTable } from '../table.js';

export interface KeyCommandOptions extends ConnectionOptions {
  readonly output: OutputFormat;
}

export interface KeyCreateOptions extends KeyCommandOptions {
  readonly alias?: string;
  readonly description?: string;
  readonly spec: string;
  readonly usage?: string;
  readonly origin?: 'AWS_KMS' | 'EXTERNAL';
  readonly multiRegion: boolean;
}

export async function createKey(options: KeyCreateOptions): Promise<void> {
  const { alias, description, spec, usage, origin, multiRegion } = options;
  const aliasName = alias === undefined ? undefined : checkedAlias(alias);
  const created = await withKmsClient(options, async (client, sdk) => {
    if (aliasName !== undefined) await refuseTaken(client, sdk, aliasName);
    const { KeyMetadata } = await client.send(
      new sdk.CreateKeyCommand({
        // The service refuses what it does not know, and says what it knows.
        KeySpec: spec as KeySpec,
        ...(usage === undefined ? {} : { KeyUsage: usage as KeyUsageType }),
        ...(origin === undefined ? {} : { Origin: origin }),
        ...(description === undefined ? {} : { Description: description }),
        ...(multiRegion ? { MultiRegion: true } : {}),
      }),
    );
    if (aliasName !== undefined && KeyMetadata?.KeyId !== undefined) {
      await client.send(new sdk.CreateAliasCommand({ AliasName: aliasName, TargetKeyId: KeyMetadata.KeyId }));
    }
    return KeyMetadata;
  });
  const aliases = aliasName === undefined ? [] : [aliasName];
  print(options, summary(created, aliases), describe(created, aliases));
}

export async function listKeys(options: KeyCommandOptions): Promise<void> {
  const keys = await withKmsClient(options, async (client, sdk) => {
    const aliases = await aliasesByKey(client, sdk);
    const found: KeySummary[] = [];
    let Marker: string | undefined;
    do {
      const page = await client.send(new sdk.ListKeysCommand({ Limit: 1000, ...(Marker && { Marker }) }));
      for (const { KeyId } of page.Keys ?? []) {
        const { KeyMetadata } = await client.send(new sdk.DescribeKeyCommand({ KeyId }));
        found.push(summary(KeyMetadata, aliases.get(KeyId ?? '')));
      }
      Marker = page.NextMarker;
    } while (Marker !== undefined);
    return found;
  });
  const rows = keys.map((key) => [key.keyId, key.aliases.join(','), key.state, key.spec, key.description]);
  print(options, keys, formatTable(['KEY ID', 'ALIAS', 'STATE', 'SPEC', 'DESCRIPTION'], rows));
}

export async function showKey(key: string, options: KeyCommandOptions): Promise<void> {
  const { metadata, aliases, rotation } = await withKmsClient(options, async (client, sdk) => {
    const { KeyMetadata } = await client.send(new sdk.DescribeKeyCommand({ KeyId: key }));
    const KeyId = KeyMetadata?.KeyId ?? key;
    return {
      metadata: KeyMetadata,
      aliases: (await aliasesByKey(client, sdk, KeyId)).get(KeyId),
      rotation: await rotationOf(client, sdk, KeyId),
    };
  });
  const shown = { ...summary(metadata, aliases), ...rotation };
  print(options, shown, describe(metadata, aliases, rotation));
}

export async function rotateKey(key: string, options: KeyCommandOptions): Promise<void> {
  const keyId = await withKmsClient(options, async (client, sdk) => {
    const KeyId = await keyIdOf(client, sdk, key);
    return bareId((await client.send(new sdk.RotateKeyOnDemandCommand({ KeyId }))).KeyId, key);
  });
  print(options, { keyId }, `${keyId} is rotated; older ciphertexts still decrypt.`);
}

export async function setKeyEnabled(
  key: string,
  enabled: boolean,
  options: KeyCommandOptions,
): Promise<void> {
  const KeyId = await withKmsClient(options, async (client, sdk) => {
    const id = await keyIdOf(client, sdk, key);
    await client.send(
      enabled ? new sdk.EnableKeyCommand({ KeyId: id }) : new sdk.DisableKeyCommand({ KeyId: id }),
    );
    return id;
  });
  const state = enabled ? 'Enabled' : 'Disabled';
  print(options, { keyId: KeyId, state }, `${KeyId} is ${state}.`);
}

export async function scheduleKeyDeletion(
  key: string,
  options: KeyCommandOptions & { readonly days: number },
): Promise<void> {
  const { KeyId, DeletionDate } = await withKmsClient(options, async (client, sdk) => {
    const id = await keyIdOf(client, sdk, key);
    return client.send(new sdk.ScheduleKeyDeletionCommand({ KeyId: id, PendingWindowInDays: options.days }));
  });
  const keyId = bareId(KeyId, key);
  const deletionDate = DeletionDate?.toISOString() ?? '';
  print(
    options,
    { keyId, deletionDate },
    `${keyId} is destroyed on ${deletionDate}, and with it everything only it can decrypt.\nUntil then: waxseal kms key cancel-deletion ${keyId}`,
  );
}

export async function cancelKeyDeletion(key: string, options: KeyCommandOptions): Promise<void> {
  const { KeyId } = await withKmsClient(options, async (client, sdk) =>
    client.send(new sdk.CancelKeyDeletionCommand({ KeyId: await keyIdOf(client, sdk, key) })),
  );
  const keyId = bareId(KeyId, key);
  print(
    options,
    { keyId, state: 'Disabled' },
    `${keyId} stays; it is Disabled.\nTo use it again: waxseal kms key enable ${keyId}`,
  );
}

export async function keyPolicy(
  key: string,
  options: KeyCommandOptions & { readonly set?: string },
): Promise<void> {
  const policy = options.set === undefined ? undefined : readFileSync(options.set, 'utf8');
  const shown = await withKmsClient(options, async (client, sdk) => {
    const KeyId = await keyIdOf(client, sdk, key);
    if (policy !== undefined) await client.send(new sdk.PutKeyPolicyCommand({ KeyId, Policy: policy }));
    const { Policy } = await client.send(new sdk.GetKeyPolicyCommand({ KeyId }));
    return Policy ?? '';
  });
  const parsed: unknown = JSON.parse(shown);
  print(options, parsed, JSON.stringify(parsed, null, 2));
}

interface KeySummary {
  readonly keyId: string;
  readonly arn: string;
  readonly aliases: readonly string[];
  readonly state: string;
  readonly spec: string;
  readonly usage: string;
  readonly origin: OriginType | undefined;
  /** Of keys whose material is in a token. */
  readonly customKeyStoreId?: string;
  readonly clusterId?: string;
  readonly created: string;
  /** Of imported key material. */
  readonly expires?: string;
  readonly deletionDate?: string;
  readonly description: string;
}

function summary(metadata: KeyMetadata | undefined, aliases: readonly string[] = []): KeySummary {
  return {
    keyId: metadata?.KeyId ?? '',
    arn: metadata?.Arn ?? '',
    aliases,
    state: metadata?.KeyState ?? '',
    spec: metadata?.KeySpec ?? '',
    usage: metadata?.KeyUsage ?? '',
    origin: metadata?.Origin,
    ...(metadata?.CustomKeyStoreId === undefined ? {} : { customKeyStoreId: metadata.CustomKeyStoreId }),
    ...(metadata?.CloudHsmClusterId === undefined ? {} : { clusterId: metadata.CloudHsmClusterId }),
    created: metadata?.CreationDate?.toISOString() ?? '',
    ...(metadata?.ValidTo === undefined ? {} : { expires: metadata.ValidTo.toISOString() }),
    ...(metadata?.DeletionDate === undefined ? {} : { deletionDate: metadata.DeletionDate.toISOString() }),
    description: metadata?.Description ?? '',
  };
}

function describe(
  metadata: KeyMetadata | undefined,
  aliases: readonly string[] = [],
  more: Readonly<Record<string, unknown>> = {},
): string {
  const entries = Object.entries({ ...summary(metadata, aliases), ...more }).filter(
    ([, value]) => value !== undefined && value !== '' && !(Array.isArray(value) && value.length === 0),
  );
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${String(value)}`).join('\n');
}

async function aliasesByKey(client: KMSClient, sdk: Sdk, KeyId?: string): Promise<Map<string, string[]>> {
  const aliases = new Map<string, string[]>();
  let Marker: string | undefined;
  do {
    const page = await client.send(
      new sdk.ListAliasesCommand({ Limit: 100, ...(KeyId && { KeyId }), ...(Marker && { Marker }) }),
    );
    for (const { TargetKeyId, AliasName } of page.Aliases ?? []) {
      if (TargetKeyId === undefined || AliasName === undefined) continue;
      aliases.set(TargetKeyId, [...(aliases.get(TargetKeyId) ?? []), AliasName]);
    }
    Marker = page.NextMarker;
  } while (Marker !== undefined);
  return aliases;
}

/** Of keys that can rotate. */
async function rotationOf(client: KMSClient, sdk: Sdk, KeyId: string): Promise<Record<string, unknown>> {
  try {
    const status = await client.send(new sdk.GetKeyRotationStatusCommand({ KeyId }));
    return {
      automaticRotation: status.KeyRotationEnabled === true,
      ...(status.NextRotationDate === undefined
        ? {}
        : { nextRotation: status.NextRotationDate.toISOString() }),
    };
  } catch (error) {
    if (error instanceof sdk.KMSServiceException && error.name !== 'AccessDeniedException') return {};
    throw error;
  }
}

/** Most operations take no alias; people may give one to all of them. */
async function keyIdOf(client: KMSClient, sdk: Sdk, key: string): Promise<string> {
  if (!key.includes('alias/')) return key;
  const { KeyMetadata } = await client.send(new sdk.DescribeKeyCommand({ KeyId: key }));
  return KeyMetadata?.KeyId ?? key;
}

/** Some operations answer with the key's ARN, some with its id. */
function bareId(answered: string | undefined, asked: string): string {
  return (answered ?? asked).split(':key/').at(-1) ?? asked;
}

/** With its prefix. Checked before there is a key, so that none is made without its name. @throws CliError */
function checkedAlias(alias: string): string {
  const name = alias.startsWith('alias/') ? alias : `alias/${alias}`;
  if (/^alias\/(?!aws\/)[a-zA-Z0-9/_-]{1,250}$/.test(name)) return name;
  throw new CliError(
    `'${alias}' cannot be an alias`,
    'Use letters, digits, / _ and -, and nothing that begins with aws/.',
    exitCodes.usage,
  );
}

async function refuseTaken(client: KMSClient, sdk: Sdk, aliasName: string): Promise<void> {
  const taken = await client
    .send(new sdk.DescribeKeyCommand({ KeyId: aliasName }))
    .catch((error: unknown) => {
      if (error instanceof sdk.NotFoundException) return undefined;
      throw error;
    });
  if (taken !== undefined) {
    throw new CliError(
      `${aliasName} is the alias of ${taken.KeyMetadata?.KeyId}`,
      'Choose another name, or use that key.',
      exitCodes.usage,
    );
  }
}

function print({ output }: KeyCommandOptions, json: unknown, text: string): void {
  console.log(output === 'json' ? JSON.stringify(json) : text);
}
