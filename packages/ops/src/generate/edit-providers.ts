/**
 * Changed lists of providers in the text of an EncryptionConfiguration. The parsed document is changed, so that comments and the order
 * of fields stay. Where that cannot be (anchors and aliases, JSON), the file is written anew.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  type EncryptionConfiguration,
  type ProviderConfiguration,
  readEncryptionConfig,
} from '@waxseal/encryption-config';
import { isMap, isNode, isPair, isSeq, parseDocument, type YAMLMap, type YAMLSeq } from 'yaml';
import { staticKinds } from '../lint/readers.js';
import { plainProvider, renderConfiguration } from '../rotate/render-configuration.js';

/** Some keys of the static provider that was at a place until now, by their own places. */
interface SomeKeys {
  readonly place: number;
  readonly keys: readonly number[];
}

/** The new list of one entry: a number is the provider at that place until now. */
export type ProviderList = readonly (number | SomeKeys | ProviderConfiguration)[];

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
      providers: (lists[i] ?? []).flatMap((item) => {
        if (typeof item === 'number') return providers[item] ?? [];
        return isSomeKeys(item) ? someKeys(providers[item.place], item.keys) : item;
      }),
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
      giveHeadItsComment(providers);
      const old = [...providers.items];
      providers.items = list.map((item) => {
        if (typeof item === 'number') return old[item];
        return isSomeKeys(item)
          ? withKeys(old[item.place], item.keys)
          : document.createNode(plainProvider(item));
      });
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

/** The parser gives a comment above the first item to the list; it is about that item. */
function giveHeadItsComment(list: YAMLSeq): void {
  const [head] = list.items;
  if (!isNode(head) || typeof list.commentBefore !== 'string') return;
  head.commentBefore = list.commentBefore;
  delete list.commentBefore;
}

const isSomeKeys = (item: SomeKeys | ProviderConfiguration): item is SomeKeys => 'place' in item;

function someKeys(
  provider: ProviderConfiguration | undefined,
  places: readonly number[],
): readonly ProviderConfiguration[] {
  return staticKinds.flatMap((kind): readonly ProviderConfiguration[] => {
    const keys = provider?.[kind]?.keys;
    return keys === undefined ? [] : [{ [kind]: { keys: places.flatMap((place) => keys[place] ?? []) } }];
  });
}

/** A copy of a provider's node that has these of its keys; undefined where it is not laid out plainly. */
function withKeys(node: unknown, places: readonly number[]): YAMLMap | undefined {
  const copy = isMap(node) ? (node.clone() as YAMLMap) : undefined;
  const [pair] = copy?.items ?? [];
  const keys = isPair(pair) && isMap(pair.value) ? pair.value.get('keys', true) : undefined;
  if (!isSeq(keys)) return undefined;
  giveHeadItsComment(keys);
  const all = [...keys.items];
  keys.items = places.map((place) => all[place]);
  return copy;
}
