/** What the control socket of a running service does. */
import type { Store } from '@waxseal/storage';
import { createBackup } from '../backup/backup.js';
import type { PrincipalDirectory } from '../access/principals.js';
import { KeyServiceError } from '../errors.js';
import { accessFactsOf, explainAccess, parseAccessQuestion } from '../explain-access.js';
import type { JsonObject } from '../http/json-body.js';
import type { KeyStore } from '../keys/key-store.js';
import { createRootKeyProtector, parseProtectorChoice } from '../root-key/choice.js';
import { resealRootKey, rootKeyProtectorOf, type RootKeyProtectors } from '../root-key/root-key.js';
import type { ControlActions } from './control-server.js';

export interface ControlledService {
  readonly store: Store;
  readonly rootKey: Buffer;
  readonly protectors: RootKeyProtectors;
  readonly dataDir: string;
  readonly endpoint: string;
  /** Read when somebody asks why something is allowed or not. */
  readonly keys: KeyStore;
  readonly principals: PrincipalDirectory;
  readonly reloadConfig: (() => Promise<JsonObject>) | undefined;
  readonly now: () => number;
  readonly randomBytes: (size: number) => Buffer;
}

export function createControlActions(service: ControlledService): ControlActions {
  const { store, rootKey, protectors, dataDir, endpoint, keys, principals, reloadConfig, now, randomBytes } =
    service;
  return {
    status: async () => ({ endpoint, rootKeyProtector: await rootKeyProtectorOf(store) }),
    backup: async () => (await createBackup(store, rootKey, now(), randomBytes)).file,
    async reseal(request) {
      const to = createRootKeyProtector(parseProtectorChoice(request), dataDir, randomBytes);
      await resealRootKey(store, rootKey, to, protectors, randomBytes);
      return { rootKeyProtector: to.kind };
    },
    async explainAccess(request) {
      await keys.catchUp();
      return { ...explainAccess(accessFactsOf(keys), principals, parseAccessQuestion(request, now())) };
    },
    async reload() {
      if (reloadConfig === undefined) {
        throw new KeyServiceError('invalid-option', 'This service was started without a configuration file.');
      }
      return reloadConfig();
    },
  };
}
