/** Questions about who may do what: created, answered, never stored. */
import { reviewResource } from './definition.js';
import type { RegistryEntry } from './strategy.js';

const AUTHORIZATION_GROUP = 'authorization.k8s.io';
const AUTHENTICATION_GROUP = 'authentication.k8s.io';

const entry = (group: string, kind: string, resource: string, namespaced = false): RegistryEntry => ({
  definition: reviewResource(group, kind, resource, namespaced),
  strategy: undefined,
});

export const reviews: readonly RegistryEntry[] = [
  entry(AUTHENTICATION_GROUP, 'SelfSubjectReview', 'selfsubjectreviews'),
  entry(AUTHENTICATION_GROUP, 'TokenReview', 'tokenreviews'),
  entry(AUTHORIZATION_GROUP, 'LocalSubjectAccessReview', 'localsubjectaccessreviews', true),
  entry(AUTHORIZATION_GROUP, 'SelfSubjectAccessReview', 'selfsubjectaccessreviews'),
  entry(AUTHORIZATION_GROUP, 'SelfSubjectRulesReview', 'selfsubjectrulesreviews'),
  entry(AUTHORIZATION_GROUP, 'SubjectAccessReview', 'subjectaccessreviews'),
];
