/**
 * Is the prefix the API server's? With a wrong one there is nothing to find, and "nothing is left", "nothing failed" or "the key may be deleted" would
 * be untrue answers. So a prefix without a value is refused, unless the source holds nothing else either.
 */
import { StoreError } from '@waxseal/storage';
import { OpsError } from '../errors.js';
import { livePagesOf, type Source } from './source.js';

/** What the API server keeps beside its prefix: the revision of its last compaction. */
const COMPACTION_KEY = 'compact_rev_key';
/** A key may be any bytes and of any length; a message holds a little of it. */
const SHOWN_CHARACTERS_MAX = 120;

/**
 * @param prefix as keys begin with it: `/registry/`
 * @throws OpsError invalid-option: nothing lies under it, but elsewhere; and what reading throws
 */
export async function refuseWrongPrefix(source: Source, prefix: Buffer): Promise<void> {
  if ((await firstLiveKey(source, prefix)) !== undefined) return;
  const other = await firstKeyAnywhere(source, prefix);
  if (other === undefined) return;
  throw new OpsError(
    'invalid-option',
    `nothing lies under ${prefix.toString()} in ${source.name}, but a key there is ${shown(other)}; give the API server's --etcd-prefix as --prefix.`,
  );
}

async function firstKeyAnywhere(source: Source, prefix: Buffer): Promise<string | undefined> {
  try {
    return await firstLiveKey(source, Buffer.alloc(0));
  } catch (error) {
    if (!(error instanceof OpsError && error.cause instanceof StoreError)) throw error;
    if (error.cause.code !== 'unauthenticated') throw error;
    throw new OpsError(
      'source-unreadable',
      `nothing lies under ${prefix.toString()} in ${source.name}, and the user may not read other keys, which would tell whether that is the API server's --etcd-prefix; name a user who may.`,
      error,
    );
  }
}

async function firstLiveKey(source: Source, prefix: Buffer): Promise<string | undefined> {
  for await (const page of livePagesOf(source, prefix)) {
    for (const { key } of page) {
      const text = key.toString();
      if (text !== COMPACTION_KEY) return text;
    }
  }
  return undefined;
}

function shown(key: string): string {
  return JSON.stringify(key.length > SHOWN_CHARACTERS_MAX ? `${key.slice(0, SHOWN_CHARACTERS_MAX)}…` : key);
}
