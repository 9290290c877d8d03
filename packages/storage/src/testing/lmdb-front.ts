/** An etcd front over an LMDB store of its own, for one test or one suite. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEtcdFront, type EtcdFront, type EtcdFrontOptions } from '../etcd-front/server.js';
import { openLmdbStore } from '../lmdb/open.js';
import type { Store } from '../store.js';

export interface LmdbFront {
  readonly folder: string;
  readonly store: Store;
  readonly front: EtcdFront;
  stop(): Promise<void>;
}

export async function startLmdbFront(
  options: Partial<Omit<EtcdFrontOptions, 'store'>> = {},
): Promise<LmdbFront> {
  const folder = mkdtempSync(join(tmpdir(), 'waxseal-front-'));
  const store = await openLmdbStore({ path: join(folder, 'data') });
  const discard = async (): Promise<void> => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  };
  const listen = { host: '127.0.0.1', port: 0 };
  const front = await startEtcdFront({ listen, ...options, store }).catch(async (error: unknown) => {
    await discard();
    throw error;
  });
  return {
    folder,
    store,
    front,
    stop: async () => {
      await front.close();
      await discard();
    },
  };
}
