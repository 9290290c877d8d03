/**
 * What a new cluster starts with: its namespaces, roles and bindings. Written where missing; what is there is left
 * alone.
 *
 * The server does not wait for it: with a KMS that is down nothing can be sealed, and an administrator must be able to
 * look. What fails is tried again until it is done, and until then `/readyz` says so, under the names kube-apiserver's
 * post-start hooks have there.
 */
import type { KubeObject } from '@waxseal/api-types';
import type { HealthCheck } from '@waxseal/encryption-config';
import { bootstrapPolicy } from '../auth/bootstrap-policy.js';
import { apiServerUser } from '../auth/users.js';
import { ApiError } from '../errors.js';
import type { RestContext, StoredEntry } from './context.js';
import { createObject } from './create.js';

export const SYSTEM_NAMESPACES = ['default', 'kube-node-lease', 'kube-public', 'kube-system'] as const;

const FIRST_RETRY_MS = 200;
const MAX_RETRY_MS = 5_000;

export interface Bootstrap {
  /** Each fails until what it stands for is there. */
  readonly healthChecks: readonly HealthCheck[];
  /** Why a namespace every cluster has is not there yet; undefined when that is not the reason. */
  namespaceMissingBecause(name: string): string | undefined;
  /** Resolves after the first attempt, whether it succeeded or not. */
  start(context: RestContext): Promise<void>;
  close(): Promise<void>;
}

interface Step {
  readonly checkName: string;
  readonly objects: readonly (readonly [StoredEntry, KubeObject])[];
  /** Undefined once done. */
  failure: string | undefined;
}

export function createBootstrap(entries: {
  readonly namespaces: StoredEntry;
  readonly clusterRoles: StoredEntry;
  readonly clusterRoleBindings: StoredEntry;
}): Bootstrap {
  const namespaces: Step = {
    checkName: 'poststarthook/start-system-namespaces-controller',
    objects: SYSTEM_NAMESPACES.map((name) => [
      entries.namespaces,
      { kind: 'Namespace', apiVersion: 'v1', metadata: { name } },
    ]),
    failure: 'not started',
  };
  const roles: Step = {
    checkName: 'poststarthook/rbac/bootstrap-roles',
    objects: [
      ...bootstrapPolicy.clusterRoles.map((role) => [entries.clusterRoles, role] as const),
      ...bootstrapPolicy.clusterRoleBindings.map((b) => [entries.clusterRoleBindings, b] as const),
    ],
    failure: 'not started',
  };
  const steps = [namespaces, roles];
  let cancelRetry: (() => void) | undefined;
  let running: Promise<void> = Promise.resolve();
  let closed = false;

  const attempt = async (context: RestContext, delayMs: number): Promise<void> => {
    for (const step of steps) {
      if (step.failure !== undefined) await take(context, step);
    }
    if (closed || steps.every(({ failure }) => failure === undefined)) return;
    cancelRetry = context.schedule(() => {
      running = attempt(context, Math.min(delayMs * 2, MAX_RETRY_MS));
    }, delayMs);
  };

  return {
    healthChecks: steps.map((step) => ({
      name: step.checkName,
      check: () =>
        step.failure === undefined
          ? Promise.resolve()
          : Promise.reject(new Error(`not finished, is tried again: ${step.failure}`)),
    })),
    namespaceMissingBecause(name) {
      return SYSTEM_NAMESPACES.some((known) => known === name) ? namespaces.failure : undefined;
    },
    start(context) {
      running = attempt(context, FIRST_RETRY_MS);
      return running;
    },
    async close() {
      closed = true;
      cancelRetry?.();
      await running;
    },
  };
}

async function take(context: RestContext, step: Step): Promise<void> {
  const [first, ...others] = step.objects;
  try {
    // Alone: when nothing can be written, a KMS that is down is asked once and not for each.
    if (first !== undefined) await createMissing(context, ...first);
    await Promise.all(others.map((other) => createMissing(context, ...other)));
    step.failure = undefined;
  } catch (error) {
    const failure = reasonOf(error);
    // Once for an outage, not once for every attempt.
    const level = failure === step.failure ? 'debug' : 'warn';
    step.failure = failure;
    context.logger[level](
      { err: error, step: step.checkName },
      'the start is not finished and is tried again',
    );
  }
}

/** Without the "Internal error occurred" around it. */
function reasonOf(error: unknown): string {
  if (error instanceof ApiError) return error.details?.causes?.[0]?.message ?? error.message;
  return error instanceof Error ? error.message : String(error);
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
