/**
 * Several keys as one provider: the primary, whose ciphertext is stored as it would be without the others; recipients, for whom every DEK source is wrapped
 * as well; and readers, which open what older keys or other plugins wrote.
 *
 * docs/formats/kms-plugin-recipients.md gives the annotations, docs/decisions/0011-kms-plugin-recipients.md the reasons.
 */
import { createHash } from 'node:crypto';
import { annotationsProblem } from '@waxseal/kms-api';
import { systemClock, type Clock } from '../clock.js';
import { KmsPluginError, ProviderError, unexpected, type Failure } from '../errors.js';
import type { MemberHost, Provider, ProviderMember, Unwrap } from '../provider.js';
import { createSnapshot, type KeySnapshot } from '../snapshot.js';
import { annotationName, isMemberName, sealAnnotation, type RecipientWrapping } from './annotation.js';
import type { EscrowKey } from './escrow-key.js';
import { createGroupOpener } from './group-opener.js';
import { wrapForRecipients, type Recipient, type WritePolicy } from './wrap-for-recipients.js';

/** A key that is asked over a provider. Its name stays with it whatever its role, or its annotations are not found again. */
export interface GroupKey {
  /** One label of a domain name: 1..63 lower-case letters, digits and dashes. Stored in clear. */
  readonly name: string;
  /** The group closes it when it closes. */
  readonly provider: Provider;
}

/** A key of which this machine has the public half alone. */
export interface EscrowRecipient {
  readonly name: string;
  readonly escrow: EscrowKey;
}

export interface KeyGroupOptions {
  /** Named `primary` unless it says otherwise. */
  readonly primary: Omit<GroupKey, 'name'> & Partial<Pick<GroupKey, 'name'>>;
  /** At most 15. */
  readonly recipients?: readonly (GroupKey | EscrowRecipient)[];
  readonly readers?: readonly GroupKey[];
  /** `all` by default. */
  readonly writePolicy?: WritePolicy;
  /**
   * Whether the key id also names the list of recipients: then a changed list reaches new writes within a minute, because an API server makes a new DEK source
   * when the key id changes. False by default: the key id is the primary's alone, as another plugin with that key would answer.
   */
  readonly recipientsInKeyId?: boolean;
  /** Longest time a recipient other than the primary may take to wrap; 2000 by default. */
  readonly recipientTimeoutMs?: number;
  /** How long one key has for itself before the next one is asked to unwrap as well; 1000 by default. */
  readonly fallbackAfterMs?: number;
  readonly clock?: Clock;
}

const recipientsMax = 15;
const keyIdSuffix = /\+recipients-[0-9a-f]{16}$/;

const tooLarge: Failure = {
  class: 'user-induced',
  code: 'failed_precondition',
  advice: 'What the recipients wrapped is larger than an API server stores; use fewer recipients.',
};

/** As long as no plugin is around. */
const alone: MemberHost = {
  run: (_member, _operation, signal, attempt) => attempt(signal),
  missing: () => {},
  altered: () => {},
};

/** @throws KmsPluginError `invalid_options` */
export function createKeyGroup(options: KeyGroupOptions): Provider {
  const clock = options.clock ?? systemClock;
  const primary: ProviderMember = {
    name: options.primary.name ?? 'primary',
    role: 'primary',
    provider: options.primary.provider,
  };
  const given = options.recipients ?? [];
  const keys = given.filter((recipient) => 'provider' in recipient);
  const member =
    (role: ProviderMember['role']) =>
    ({ name, provider }: GroupKey): ProviderMember => ({ name, role, provider });
  const members = [
    primary,
    ...keys.map(member('recipient')),
    ...(options.readers ?? []).map(member('reader')),
  ];
  checkNames([
    primary.name,
    ...given.map(({ name }) => name),
    ...(options.readers ?? []).map(({ name }) => name),
  ]);
  if (given.length > recipientsMax) {
    throw new KmsPluginError(
      'invalid_options',
      `There may be ${recipientsMax} recipients beside the primary.`,
    );
  }

  let attached = alone;
  const host: MemberHost = {
    run: (...call) => attached.run(...call),
    missing: (...told) => {
      attached.missing(...told);
    },
    altered: (...told) => {
      attached.altered(...told);
    },
  };
  const recipients = given.map((recipient): Recipient => toRecipient(recipient, members, host));
  const opener = createGroupOpener({
    members,
    recipients: given.map(({ name }) => name),
    clock,
    fallbackAfterMs: options.fallbackAfterMs ?? 1000,
    host,
  });

  let current:
    { readonly snapshot: KeySnapshot; readonly made: KeySnapshot; readonly keyIds: string } | undefined;
  /** Which snapshot of the primary a snapshot of the group stands for. */
  const primarySnapshots = new WeakMap<KeySnapshot, KeySnapshot>();
  const snapshot = (): KeySnapshot => {
    const own = primary.provider.snapshot();
    // The primary does not know its key yet: there is nothing to name.
    if (own.keyId === '') return own;
    const named = recipients.map((recipient) => `${recipient.name}=${recipient.keyId()}`);
    const keyIds = named.join('\n');
    if (current?.snapshot === own && current.keyIds === keyIds) return current.made;
    const suffix = options.recipientsInKeyId === true ? `+recipients-${hash16(keyIds)}` : '';
    const made = createSnapshot({
      ...own,
      keyId: `${own.keyId}${suffix}`,
      recipients: [own.keyId, ...recipients.map((recipient) => recipient.keyId())],
    });
    primarySnapshots.set(made, own);
    current = { snapshot: own, made, keyIds };
    return made;
  };

  return {
    name: primary.provider.name,
    get forgeable() {
      return primary.provider.forgeable ?? false;
    },
    needsV2: given.length > 0,
    members,
    attach: (to) => {
      attached = to;
    },
    snapshot,

    encrypt: async (used, plaintext, signal) => {
      const own = used.keyId === '' ? used : primarySnapshots.get(used);
      if (own === undefined) throw new ProviderError('a snapshot of another provider', unexpected);
      const { wrapped, wrappings, missing } = await wrapForRecipients(
        {
          clock,
          policy: options.writePolicy ?? 'all',
          recipientTimeoutMs: options.recipientTimeoutMs ?? 2000,
          recipients,
        },
        plaintext,
        signal,
        (ownSignal) =>
          host.run(primary, 'encrypt', ownSignal, (limited) =>
            primary.provider.encrypt(own, plaintext, limited),
          ),
      );
      const annotations: Record<string, Buffer> = { ...wrapped.annotations };
      for (const [name, wrapping] of wrappings) {
        annotations[annotationName(name)] = sealAnnotation(name, wrapping, plaintext, {
          ...wrapped,
          keyId: used.keyId,
        });
      }
      if (annotationsProblem(annotations) !== undefined)
        throw new ProviderError('too much to store', tooLarge);
      for (const name of missing) host.missing(name, 'encrypt');
      return { ciphertext: wrapped.ciphertext, annotations };
    },

    decrypt: (wrapped, signal) => opener.open(wrapped, primaryKeyId(wrapped), signal),
    recognizes: (wrapped) => opener.recognizes(wrapped, primaryKeyId(wrapped)),

    reload: async () => {
      const results = await Promise.allSettled(members.map(({ provider }) => provider.reload()));
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    },
    close: async () => {
      await Promise.all(members.map(({ provider }) => provider.close()));
    },
  };
}

function primaryKeyId({ keyId }: Unwrap): string | undefined {
  return keyId?.replace(keyIdSuffix, '');
}

function toRecipient(
  given: GroupKey | EscrowRecipient,
  members: readonly ProviderMember[],
  host: MemberHost,
): Recipient {
  const { name } = given;
  if ('escrow' in given) {
    const { escrow } = given;
    return { name, keyId: () => escrow.keyId, wrap: (dekSource) => escrow.wrap(dekSource) };
  }
  const { provider } = given;
  const member = members.find((each) => each.provider === provider);
  if (member === undefined) throw new RangeError('every key of the group is a member');
  return {
    name,
    keyId: () => provider.snapshot().keyId,
    wrap: (dekSource, signal) =>
      host.run(member, 'encrypt', signal, async (limited): Promise<RecipientWrapping> => {
        const wrap = async (used: KeySnapshot): Promise<RecipientWrapping> => {
          const { ciphertext, annotations } = await provider.encrypt(used, dekSource, limited);
          return { kind: 'provider', keyId: used.keyId, ciphertext, annotations };
        };
        const used = provider.snapshot();
        try {
          return await wrap(used);
        } catch (error) {
          const shown = provider.snapshot();
          // Where the backend has to be reached once to know the key, the try has shown it.
          if (used.keyId !== '' || shown.keyId === '') throw error;
          return wrap(shown);
        }
      }),
  };
}

function checkNames(names: readonly string[]): void {
  for (const [index, name] of names.entries()) {
    if (!isMemberName(name)) {
      throw new KmsPluginError(
        'invalid_options',
        `"${name}" cannot name a key: use 1 to 63 lower-case letters, digits and dashes.`,
      );
    }
    if (names.indexOf(name) !== index) {
      throw new KmsPluginError(
        'invalid_options',
        `Two keys are named "${name}"; each needs a name of its own.`,
      );
    }
  }
}

function hash16(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
