/**
 * Changed lists of providers in the text of an EncryptionConfiguration. The parsed document is changed, so that comments and the order
 * of fields stay. Where that cannot be (anchors and aliases, JSON), the file is written anew.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  type EncryptionConfiguration,
  formatDuration,
  type ProviderConfiguration,
  readEncryptionConfig,
} from '@waxseal/encryption-config';
import { isNode, isSeq, parseDocument } from 'yaml';
import { renderConfiguration } from '../rotate/render-configuration.js';

/** The new list of one entry: a number is the provider at that place until now. */
export type ProviderList = readonly (number | ProviderConfiguration)[];

export interface EditedText {
  readonly text: string;
  readonly config: EncryptionConfiguration;
  /** False: written anew, without the comments. */
  readonly commentsKept: boolean;
}

/**
 * @param config what `text` holds
 * @param lists one for each entry, in order
 */
export function editProviders(
  text: string,
  config: EncryptionConfiguration,
  lists: readonly ProviderList[],
): EditedText {
  const wanted: EncryptionConfiguration = {
    resources: config.resources.map(({ resources, providers }, i) => ({
      resources,
      providers: (lists[i] ?? []).flatMap((item) =>
        typeof item === 'number' ? (providers[item] ?? []) : item,
      ),
    })),
  };
  const edited = editDocument(text, lists);
  // Read back: what the editing cannot do shows here.
  if (edited !== undefined && isDeepStrictEqual(read(edited), wanted)) {
    return { text: edited, config: wanted, commentsKept: true };
  }
  return { text: renderConfiguration(wanted), config: wanted, commentsKept: false };
}

/** Undefined where the document is not laid out plainly enough. */
function editDocument(text: string, lists: readonly ProviderList[]): string | undefined {
  const document = parseDocument(text, { logLevel: 'silent' });
  if (document.errors.length > 0) return undefined;
  try {
    for (const [i, list] of lists.entries()) {
      const providers = document.getIn(['resources', i, 'providers']);
      if (!isSeq(providers)) return undefined;
      const old = [...providers.items];
      const [head] = old;
      // The parser gives a comment above the first item to the list; it is about that item.
      if (isNode(head) && typeof providers.commentBefore === 'string') {
        head.commentBefore = providers.commentBefore;
        delete providers.commentBefore;
      }
      providers.items = list.map((item) =>
        typeof item === 'number' ? old[item] : document.createNode(plainProvider(item)),
      );
    }
    return document.toString({ lineWidth: 0 });
  } catch {
    // An alias whose anchor was moved behind it or removed.
    return undefined;
  }
}

function read(text: string): EncryptionConfiguration | undefined {
  return readEncryptionConfig(text, { fileName: '', kmsV1Enabled: true }).config;
}

/** Only what generate makes itself. */
function plainProvider(provider: ProviderConfiguration): object {
  if (provider.kms === undefined) return provider;
  const { apiVersion, name, endpoint, timeoutMs } = provider.kms;
  return { kms: { apiVersion, name, endpoint, timeout: formatDuration(timeoutMs) } };
}
