/** A live etcd cluster as a source. */
import { openEtcdStore, type EtcdStoreOptions } from '@waxseal/storage';
import { openUnlessAborted, readable } from './store-reading.js';
import { storeSource, type StoreSourceOptions } from './store-source.js';
import type { Source } from './source.js';

/** Several endpoints are one cluster: what one does not answer, another does. */
export type EtcdSourceOptions = Pick<
  EtcdStoreOptions,
  'endpoints' | 'tls' | 'username' | 'password' | 'readableKey'
> &
  StoreSourceOptions & {
    /** How long connecting may take; default 5 s. */
    readonly dialTimeoutMs?: number | undefined;
    /** How long one answer may take, other endpoints included; default 30 s. */
    readonly requestTimeoutMs?: number | undefined;
  };

const DIAL_TIMEOUT_MS = 5_000;
/** Longer than a leader election. */
const REQUEST_TIMEOUT_MS = 30_000;

/** @throws OpsError source-unreadable */
export async function openEtcdSource(options: EtcdSourceOptions): Promise<Source> {
  const { whenCompacted, signal, silenceMs, ...rest } = options;
  const { dialTimeoutMs = DIAL_TIMEOUT_MS, requestTimeoutMs = REQUEST_TIMEOUT_MS } = options;
  const name = `etcd ${options.endpoints.join(',')}`;
  const opening = openEtcdStore({ ...rest, dialTimeoutMs, requestTimeoutMs });
  const store = await readable(name, signal === undefined ? opening : openUnlessAborted(opening, signal));
  try {
    return await storeSource(name, store, { whenCompacted, signal, silenceMs });
  } catch (error) {
    await store.close();
    throw error;
  }
}
