/**
 * Is the service account of a token still there, the same one, and what the token is bound to as well?
 *
 * Source of the rule: kube-apiserver's service account token validator. Deleting the account, or the Secret a token
 * is bound to, revokes the token.
 */
import { ApiError } from '../errors.js';
import type { ResourceDefinition } from '../registry/resource.js';
import type { RestHandler } from '../rest/contract.js';
import type { CheckServiceAccount } from './authenticator.js';
import { apiServerUser } from './users.js';

function uidOf(object: Buffer): unknown {
  const { metadata } = JSON.parse(object.toString('utf8')) as { metadata?: { uid?: unknown } };
  return metadata?.uid;
}

function coreResource(rest: RestHandler, name: string): ResourceDefinition | undefined {
  return rest.resources.find(({ group, resource }) => group === '' && resource === name);
}

export function createServiceAccountCheck(rest: RestHandler): CheckServiceAccount {
  async function exists(
    resourceName: string,
    namespace: string,
    name: string,
    uid: string,
  ): Promise<boolean> {
    const resource = coreResource(rest, resourceName);
    if (resource === undefined) return false;
    try {
      const answer = await rest.handle({
        verb: 'get',
        resource,
        namespace: resource.namespaced ? namespace : '',
        name,
        resourceVersion: '',
        user: apiServerUser,
        signal: AbortSignal.timeout(10_000),
      });
      return answer.kind === 'object' && uidOf(answer.object) === uid;
    } catch (error) {
      if (error instanceof ApiError && error.reason === 'NotFound') return false;
      throw error;
    }
  }

  return async ({ namespace, name, uid, boundObject }) => {
    if (!(await exists('serviceaccounts', namespace, name, uid))) return false;
    if (boundObject === undefined) return true;
    return exists(`${boundObject.kind.toLowerCase()}s`, namespace, boundObject.name, boundObject.uid);
  };
}
