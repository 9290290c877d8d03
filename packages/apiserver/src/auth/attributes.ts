/**
 * What is to be authorised, and how a refusal reads.
 *
 * Source of the rule: k8s.io/apiserver `authorization/authorizer` (Attributes) and
 * `endpoints/handlers/responsewriters` (the forbidden message).
 */
import { ApiError } from '../errors.js';
import type { UserInfo } from '../rest/contract.js';
import { forbidden } from '../rest/status-errors.js';

export interface ResourceAttributes {
  readonly kind: 'resource';
  readonly user: UserInfo;
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  /** Empty: cluster scope. */
  readonly namespace: string;
  /** Empty: any. */
  readonly name: string;
}

interface NonResourceAttributes {
  readonly kind: 'path';
  readonly user: UserInfo;
  /** Lower-case HTTP method. */
  readonly verb: string;
  readonly path: string;
}

export type Attributes = ResourceAttributes | NonResourceAttributes;

export interface Decision {
  readonly allowed: boolean;
  /** Which binding allowed it, or what went wrong on the way to a refusal; may be empty. */
  readonly reason: string;
}

/** A Go-quoted string, for messages whose text clients compare. */
export function quoted(text: string): string {
  return JSON.stringify(text);
}

// A browser must not take the echoed path or name for markup.
function sanitized(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function describe(attributes: Attributes): string {
  const who = `User ${quoted(attributes.user.name)} cannot ${attributes.verb}`;
  if (attributes.kind === 'path') return `${who} path ${quoted(attributes.path)}`;
  const { subresource, resource, group, namespace } = attributes;
  const what = subresource === '' ? resource : `${resource}/${subresource}`;
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace ${quoted(namespace)}`;
  return `${who} resource ${quoted(what)} in API group ${quoted(group)} ${where}`;
}

/** 403 for a refused request. */
export function forbiddenByAuthorizer(attributes: Attributes, reason: string): ApiError {
  const message = sanitized(describe(attributes)) + (reason === '' ? '' : `: ${reason}`);
  if (attributes.kind === 'path') return new ApiError(403, 'Forbidden', `forbidden: ${message}`, {});
  return forbidden(attributes, attributes.name, message);
}
