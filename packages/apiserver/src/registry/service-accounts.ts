/** ServiceAccounts. Source of the rule: kube-apiserver's ServiceAccount strategy. */
import type { KubeObject } from '@waxseal/api-types';
import { storedResource } from './definition.js';
import { strategy, type RegistryEntry } from './strategy.js';
import { nameIsDnsSubdomain } from './validation/names.js';

/** `secrets` is a list of names; everything else an entry may carry is dropped. */
function cleanSecrets(object: KubeObject): KubeObject {
  const secrets = object['secrets'];
  if (!Array.isArray(secrets)) return object;
  return { ...object, secrets: secrets.map((s: { name?: string }) => ({ name: s.name })) };
}

export const serviceAccounts: RegistryEntry = {
  definition: storedResource({
    kind: 'ServiceAccount',
    resource: 'serviceaccounts',
    singular: 'serviceaccount',
    shortNames: ['sa'],
    subresources: [
      {
        name: 'token',
        kind: 'TokenRequest',
        group: 'authentication.k8s.io',
        version: 'v1',
        verbs: ['create'],
      },
    ],
  }),
  strategy: strategy({
    nameRule: nameIsDnsSubdomain,
    prepareForCreate: cleanSecrets,
    prepareForUpdate: cleanSecrets,
    returnsDeletedObject: true,
  }),
};
