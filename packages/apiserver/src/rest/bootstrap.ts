/**
 * What a new cluster starts with: its namespaces, roles and bindings. Written where missing; what is there is left
 * alone.
 */
import { bootstrapPolicy } from '../auth/bootstrap-policy.js';
import { apiServerUser } from '../auth/users.js';
import { ApiError } from '../errors.js';
import type { KubeObject } from '../object.js';
import type { RestContext, StoredEntry } from './context.js';
import { createObject } from './create.js';

export const SYSTEM_NAMESPACES = ['default', 'kube-node-lease', 'kube-public', 'kube-system'] as const;

const namespace = (name: string): KubeObject => ({
  kind: 'Namespace',
  apiVersion: 'v1',
  metadata: { name },
});

export async function bootstrap(
  context: RestContext,
  entries: {
    readonly namespaces: StoredEntry;
    readonly clusterRoles: StoredEntry;
    readonly clusterRoleBindings: StoredEntry;
  },
): Promise<void> {
  const all: readonly (readonly [StoredEntry, KubeObject])[] = [
    ...SYSTEM_NAMESPACES.map((name) => [entries.namespaces, namespace(name)] as const),
    ...bootstrapPolicy.clusterRoles.map((role) => [entries.clusterRoles, role] as const),
    ...bootstrapPolicy.clusterRoleBindings.map((b) => [entries.clusterRoleBindings, b] as const),
  ];
  await Promise.all(all.map(([entry, object]) => createMissing(context, entry, object)));
}

async function createMissing(context: RestContext, entry: StoredEntry, object: KubeObject): Promise<void> {
  const name = object.metadata.name as string;
  // Reading first spares a seal and a write at every start but the first.
  const { kvs } = await context.objects.store.range({
    key: Buffer.from(`${entry.definition.storagePrefix}/${name}`),
    keysOnly: true,
  });
  if (kvs.length > 0) return;
  try {
    await createObject(context, { entry, namespace: '', user: apiServerUser, dryRun: false }, object);
  } catch (error) {
    // Another server on the same storage was faster.
    if (!(error instanceof ApiError && error.reason === 'AlreadyExists')) throw error;
  }
}
