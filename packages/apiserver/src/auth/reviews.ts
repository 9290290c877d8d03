/**
 * The review kinds: questions about users and rights, asked by creating an object that is never stored.
 *
 * Source of the rule: authorization.k8s.io/v1 and authentication.k8s.io/v1; kube-apiserver's validation messages.
 */
import type { JsonObject, KubeObject } from '@waxseal/api-types';
import { ApiError } from '../errors.js';
import type { UserInfo } from '../rest/contract.js';
import type { Attributes } from './attributes.js';
import type { Authorizer } from './rbac.js';
import type { AuthenticateToken } from './authenticator.js';

/** Answers a review: the object as it was sent, with its status. */
type Review = (object: KubeObject, asker: UserInfo, namespace: string) => Promise<KubeObject>;

/** One Review per kind, for the registry's review resources. */
export interface Reviews {
  readonly SelfSubjectAccessReview: Review;
  readonly SubjectAccessReview: Review;
  readonly LocalSubjectAccessReview: Review;
  readonly SelfSubjectRulesReview: Review;
  readonly SelfSubjectReview: Review;
  readonly TokenReview: Review;
}

type Fields = Readonly<Record<string, unknown>>;

const AUTHORIZATION = 'authorization.k8s.io';

function record(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
}

function specOf(object: KubeObject): Fields {
  return record(object['spec']) ?? {};
}

function invalid(kind: string, field: string, message: string): ApiError {
  return new ApiError(422, 'Invalid', `${kind}.${AUTHORIZATION} "" is invalid: ${field}: ${message}`, {
    group: AUTHORIZATION,
    kind,
    causes: [
      { reason: message.startsWith('Required') ? 'FieldValueRequired' : 'FieldValueInvalid', message, field },
    ],
  });
}

/** The question of an access review: exactly one of two shapes. */
function attributesOf(kind: string, spec: Fields, user: UserInfo): Attributes {
  const resource = record(spec['resourceAttributes']);
  const path = record(spec['nonResourceAttributes']);
  if (resource !== undefined && path !== undefined) {
    throw invalid(
      kind,
      'spec.nonResourceAttributes',
      'Invalid value: cannot be specified in combination with resourceAttributes',
    );
  }
  if (path !== undefined) {
    return { kind: 'path', user, verb: text(path['verb']), path: text(path['path']) };
  }
  if (resource !== undefined) {
    return {
      kind: 'resource',
      user,
      verb: text(resource['verb']),
      group: text(resource['group']),
      resource: text(resource['resource']),
      subresource: text(resource['subresource']),
      namespace: text(resource['namespace']),
      name: text(resource['name']),
    };
  }
  throw invalid(
    kind,
    'spec.resourceAttributes',
    'Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified',
  );
}

/** The subject of a (Local)SubjectAccessReview. */
function subjectOf(kind: string, spec: Fields): UserInfo {
  const name = text(spec['user']);
  const groups = texts(spec['groups']);
  if (name === '' && groups.length === 0) {
    throw invalid(kind, 'spec.user', 'Invalid value: "": at least one of user or group must be specified');
  }
  const extra = Object.fromEntries(
    Object.entries(record(spec['extra']) ?? {}).map(([key, values]) => [key.toLowerCase(), texts(values)]),
  );
  return { name, uid: text(spec['uid']), groups, extra };
}

function withStatus(object: KubeObject, status: JsonObject): KubeObject {
  return { ...object, status };
}

function decide(authorizer: Authorizer, object: KubeObject, attributes: Attributes): KubeObject {
  const { allowed, reason } = authorizer.authorize(attributes);
  return withStatus(object, { allowed, ...(reason === '' ? {} : { reason }) });
}

function userJson(user: UserInfo): JsonObject {
  const extra = Object.entries(user.extra);
  return {
    username: user.name,
    ...(user.uid === '' ? {} : { uid: user.uid }),
    ...(user.groups.length === 0 ? {} : { groups: [...user.groups] }),
    ...(extra.length === 0
      ? {}
      : { extra: Object.fromEntries(extra.map(([key, values]) => [key, [...values]])) }),
  };
}

export function createReviews(options: {
  readonly authorizer: Authorizer;
  readonly authenticateToken: AuthenticateToken;
}): Reviews {
  const { authorizer, authenticateToken } = options;

  return {
    async SelfSubjectAccessReview(object, asker) {
      const attributes = attributesOf('SelfSubjectAccessReview', specOf(object), asker);
      return decide(authorizer, object, attributes);
    },

    async SubjectAccessReview(object) {
      const spec = specOf(object);
      const attributes = attributesOf('SubjectAccessReview', spec, subjectOf('SubjectAccessReview', spec));
      return decide(authorizer, object, attributes);
    },

    async LocalSubjectAccessReview(object, _asker, namespace) {
      const kind = 'LocalSubjectAccessReview';
      const spec = specOf(object);
      const attributes = attributesOf(kind, spec, subjectOf(kind, spec));
      if (attributes.kind === 'path') {
        throw invalid(
          kind,
          'spec.nonResourceAttributes',
          'Invalid value: disallowed on this kind of request',
        );
      }
      if (attributes.namespace !== namespace) {
        throw new ApiError(
          400,
          'BadRequest',
          `spec.resourceAttributes.namespace must match namespace: ${namespace}`,
        );
      }
      return decide(authorizer, object, attributes);
    },

    async SelfSubjectRulesReview(object, asker) {
      const namespace = text(specOf(object)['namespace']);
      if (namespace === '') throw new ApiError(400, 'BadRequest', 'no namespace on request');
      const { rules, errors } = authorizer.rulesFor(asker, namespace);
      return withStatus(object, {
        resourceRules: rules
          .filter(({ resources }) => resources.length > 0)
          .map(({ verbs, apiGroups, resources, resourceNames }) => ({
            verbs: [...verbs],
            apiGroups: [...apiGroups],
            resources: [...resources],
            ...(resourceNames.length === 0 ? {} : { resourceNames: [...resourceNames] }),
          })),
        nonResourceRules: rules
          .filter(({ nonResourceURLs }) => nonResourceURLs.length > 0)
          .map(({ verbs, nonResourceURLs }) => ({
            verbs: [...verbs],
            nonResourceURLs: [...nonResourceURLs],
          })),
        incomplete: errors.length > 0,
        ...(errors.length === 0 ? {} : { evaluationError: errors.join(', ') }),
      });
    },

    async SelfSubjectReview(object, asker) {
      return withStatus(object, { userInfo: userJson(asker) });
    },

    async TokenReview(object) {
      const spec = specOf(object);
      const token = text(spec['token']);
      if (token === '') {
        throw new ApiError(400, 'BadRequest', `token is required for TokenReview in authentication`);
      }
      const wanted = texts(spec['audiences']);
      const outcome = await authenticateToken(token, wanted.length === 0 ? undefined : wanted);
      // The token is the caller's credential: it is not echoed.
      const answer = { ...object, spec: { ...spec, token: '' } };
      if (outcome.kind === 'authenticated') {
        return withStatus(answer, {
          authenticated: true,
          user: userJson(outcome.user),
          ...(outcome.audiences.length === 0 ? {} : { audiences: [...outcome.audiences] }),
        });
      }
      const error = outcome.kind === 'refused' ? outcome.message : '';
      return withStatus(answer, { authenticated: false, user: {}, ...(error === '' ? {} : { error }) });
    },
  };
}
