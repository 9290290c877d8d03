/**
 * What a client may say about versions, and what it then gets.
 *
 * Source of the rule: k8s.io/apiserver `storage` (ValidateListOptions, validateMinimumResourceVersion) and
 * `apis/meta/internalversion/validation`.
 */
import {
  invalidValue,
  notSupported,
  forbiddenField,
  type FieldError,
} from '../registry/validation/field-error.js';
import type { ListRequest, WatchRequest } from './contract.js';
import { parseContinueToken } from './continue-token.js';
import { badRequest, invalid, tooLargeResourceVersion } from './status-errors.js';

/** Largest revision a client may name; the store's revisions are below it. */
const MAX_REVISION = Number.MAX_SAFE_INTEGER;

/** 0 for the empty string. @throws ApiError 400 */
export function parseResourceVersion(text: string): number {
  if (text === '') return 0;
  const revision = /^\d{1,20}$/.test(text) ? Number(text) : NaN;
  if (Number.isNaN(revision)) {
    const error = invalidValue(
      'resourceVersion',
      text,
      `strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`,
    );
    throw badRequest(`invalid resource version: ${error.field}: ${error.message}`);
  }
  return Math.min(revision, MAX_REVISION);
}

/** A get and a "not older than" list need a store that has come at least that far. @throws ApiError 504 */
export function requireMinimum(resourceVersion: string, current: number): void {
  if (parseResourceVersion(resourceVersion) > current)
    throw tooLargeResourceVersion(resourceVersion, current);
}

export interface ListPosition {
  /** Read at this revision; 0: now. */
  readonly revision: number;
  /** First key; absent: from the beginning. */
  readonly startKey: Buffer | undefined;
  /** The answer must not be older than this. */
  readonly minimum: string;
}

/** @throws ApiError 400 or 422 */
export function listPosition(
  request: Pick<ListRequest, 'continue' | 'limit' | 'resourceVersion' | 'resourceVersionMatch'>,
  keyPrefix: string,
): ListPosition {
  const { resourceVersion, resourceVersionMatch: match } = request;
  const errors: FieldError[] = [];
  const refuse = (why: string): number => errors.push(forbiddenField('resourceVersionMatch', why));
  if (match !== '') {
    if (resourceVersion === '')
      refuse('resourceVersionMatch is forbidden unless resourceVersion is provided');
    if (request.continue !== '') refuse('resourceVersionMatch is forbidden when continue is provided');
    if (match !== 'Exact' && match !== 'NotOlderThan') {
      errors.push(notSupported('resourceVersionMatch', match, ['Exact', 'NotOlderThan', '']));
    }
    if (match === 'Exact' && resourceVersion === '0') {
      refuse('resourceVersionMatch "exact" is forbidden for resourceVersion "0"');
    }
  }
  if (errors.length > 0) throw invalid({ group: 'meta.k8s.io', kind: 'ListOptions' }, '', errors);

  if (request.continue !== '') {
    const token = parseContinueToken(request.continue, keyPrefix);
    if (resourceVersion !== '' && resourceVersion !== '0') {
      throw badRequest('specifying resource version is not allowed when using continue');
    }
    return { revision: Math.max(token.revision, 0), startKey: Buffer.from(token.startKey), minimum: '' };
  }
  const revision = parseResourceVersion(resourceVersion);
  // Without a match, a limited list at a version means exactly that version.
  const exact = match === 'Exact' || (match === '' && request.limit > 0 && revision > 0);
  return { revision: exact ? revision : 0, startKey: undefined, minimum: exact ? '' : resourceVersion };
}

export interface WatchStart {
  /** Report what is there first, then what changes after it. */
  readonly initialEvents: boolean;
  /** Report what changes after this revision; 0: after now. */
  readonly revision: number;
  /** The initial events must not be older than this. */
  readonly minimum: string;
}

/** @throws ApiError 400 or 422 */
export function watchStart(request: WatchRequest): WatchStart {
  const { resourceVersion, resourceVersionMatch: match, sendInitialEvents } = request;
  const errors: FieldError[] = [];
  if (sendInitialEvents && match !== 'NotOlderThan') {
    errors.push(
      forbiddenField(
        'resourceVersionMatch',
        'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
      ),
    );
  }
  if (match !== '' && match !== 'NotOlderThan') {
    errors.push(notSupported('resourceVersionMatch', match, ['NotOlderThan']));
  }
  if (errors.length > 0) throw invalid({ group: 'meta.k8s.io', kind: 'ListOptions' }, '', errors);

  const revision = parseResourceVersion(resourceVersion);
  if (sendInitialEvents) return { initialEvents: true, revision: 0, minimum: resourceVersion };
  // A match without initial events means the client asked for none in so many words.
  if (match === 'NotOlderThan') return { initialEvents: false, revision, minimum: '' };
  return { initialEvents: revision === 0, revision, minimum: '' };
}
