/**
 * The options in a request's query, parsed and validated.
 *
 * Source of the rule: meta/v1 CreateOptions, UpdateOptions, PatchOptions, ListOptions, DeleteOptions and their
 * validation in k8s.io/apimachinery; messages are the reference's.
 */
import type { FieldError } from '../registry/validation/field-error.js';
import { forbiddenField, invalidValue, notSupported, tooLong } from '../registry/validation/field-error.js';
import type {
  DeleteOptions,
  FieldValidation,
  ResourceVersionMatch,
  Selection,
  WriteOptions,
} from '../rest/contract.js';
import { badRequest, invalid } from '../rest/status-errors.js';

const META_GROUP = 'meta.k8s.io';
const FIELD_MANAGER_MAX_BYTES = 128;
const FIELD_VALIDATIONS: ReadonlySet<string> = new Set(['Ignore', 'Warn', 'Strict']);
const PROPAGATION_POLICIES: ReadonlySet<string> = new Set(['Orphan', 'Background', 'Foreground']);

export type Query = URLSearchParams | undefined;

function refuse(kind: string, errors: readonly FieldError[]): void {
  if (errors.length > 0) throw invalid({ group: META_GROUP, kind }, '', errors);
}

function value(query: Query, name: string): string {
  return query?.get(name) ?? '';
}

/** Go's reading of a boolean parameter: present and empty is true. */
function flag(query: Query, name: string): boolean | undefined {
  const text = query?.get(name) ?? null;
  if (text === null) return undefined;
  return text.toLowerCase() !== 'false' && text !== '0';
}

function integer(query: Query, name: string): number | undefined {
  const text = query?.get(name) ?? null;
  if (text === null || text === '') return undefined;
  if (!/^[+-]?\d{1,15}$/.test(text)) {
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  }
  return Number(text);
}

function checkDryRun(values: readonly string[], errors: FieldError[]): boolean {
  if (values.some((item) => item !== 'All')) errors.push(notSupported('dryRun', values, ['All']));
  return values.length > 0;
}

/** The part of a user agent before its version, e.g. `kubectl`: names the writer when it does not name itself. */
function managerOfUserAgent(userAgent: string | undefined): string {
  if (userAgent === undefined) return '';
  const slash = userAgent.indexOf('/');
  const name = slash < 0 ? userAgent : userAgent.slice(0, slash);
  return name.replaceAll(/[^\x20-\x7e]/g, '').slice(0, FIELD_MANAGER_MAX_BYTES);
}

// One frozen value for the commonest request, a write without any option.
const defaults = new Map<string, WriteOptions>();
const DEFAULTS_MAX_ENTRIES = 256;

/** @param kind `CreateOptions`, `UpdateOptions` or `PatchOptions`, for messages */
export function parseWriteOptions(
  kind: 'CreateOptions' | 'UpdateOptions' | 'PatchOptions',
  query: Query,
  userAgent: string | undefined,
): WriteOptions {
  if (query === undefined) {
    const key = userAgent ?? '';
    let options = defaults.get(key);
    if (options === undefined) {
      options = {
        dryRun: false,
        fieldManager: managerOfUserAgent(userAgent),
        fieldValidation: 'Warn',
      };
      if (defaults.size < DEFAULTS_MAX_ENTRIES) defaults.set(key, options);
    }
    return options;
  }
  const errors: FieldError[] = [];
  const manager = value(query, 'fieldManager');
  if (Buffer.byteLength(manager) > FIELD_MANAGER_MAX_BYTES) {
    errors.push(tooLong('fieldManager', FIELD_MANAGER_MAX_BYTES));
  }
  if (/\p{C}/u.test(manager)) {
    errors.push(invalidValue('fieldManager', manager, 'must hold printable characters only'));
  }
  const dryRun = checkDryRun(query.getAll('dryRun'), errors);
  const validation = value(query, 'fieldValidation');
  if (validation !== '' && !FIELD_VALIDATIONS.has(validation)) {
    errors.push(notSupported('fieldValidation', validation, ['', 'Ignore', 'Strict', 'Warn']));
  }
  if (kind === 'PatchOptions' && query.has('force')) {
    errors.push(forbiddenField('force', 'may not be specified for non-apply patch'));
  }
  refuse(kind, errors);
  return {
    dryRun,
    fieldManager: manager === '' ? managerOfUserAgent(userAgent) : manager,
    fieldValidation: validation === '' ? 'Warn' : (validation as FieldValidation),
  };
}

export interface ListOptions extends Selection {
  readonly limit: number;
  readonly continue: string;
  readonly allowWatchBookmarks: boolean;
  readonly sendInitialEvents: boolean;
  /** Undefined: the server chooses how long a watch lasts. */
  readonly timeoutMs: number | undefined;
}

function checkList(match: string, query: Query, errors: FieldError[]): void {
  const resourceVersion = value(query, 'resourceVersion');
  if (match !== '') {
    if (resourceVersion === '') {
      errors.push(
        forbiddenField(
          'resourceVersionMatch',
          'resourceVersionMatch is forbidden unless resourceVersion is provided',
        ),
      );
    }
    if (value(query, 'continue') !== '') {
      errors.push(
        forbiddenField('resourceVersionMatch', 'resourceVersionMatch is forbidden when continue is provided'),
      );
    }
    if (match !== 'Exact' && match !== 'NotOlderThan') {
      errors.push(notSupported('resourceVersionMatch', match, ['Exact', 'NotOlderThan', '']));
    }
    if (match === 'Exact' && resourceVersion === '0') {
      errors.push(
        forbiddenField(
          'resourceVersionMatch',
          'resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
        ),
      );
    }
  }
  if (query?.has('sendInitialEvents') === true) {
    errors.push(forbiddenField('sendInitialEvents', 'sendInitialEvents is forbidden for list'));
  }
}

function checkWatch(match: string, query: Query, errors: FieldError[]): void {
  const initial = query?.has('sendInitialEvents') === true;
  if (initial && match !== 'NotOlderThan') {
    errors.push(
      forbiddenField(
        'resourceVersionMatch',
        'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
      ),
    );
  }
  if (match === '') return;
  if (!initial) {
    errors.push(
      forbiddenField(
        'resourceVersionMatch',
        'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided',
      ),
    );
  }
  if (match !== 'NotOlderThan') errors.push(notSupported('resourceVersionMatch', match, ['NotOlderThan']));
  if (value(query, 'continue') !== '') {
    errors.push(
      forbiddenField('resourceVersionMatch', 'resourceVersionMatch is forbidden when continue is provided'),
    );
  }
}

/** @throws ApiError 400 for what does not parse, 422 for what contradicts itself */
export function parseListOptions(query: Query, isWatch: boolean): ListOptions {
  const match = value(query, 'resourceVersionMatch');
  const errors: FieldError[] = [];
  if (isWatch) checkWatch(match, query, errors);
  else checkList(match, query, errors);
  refuse('ListOptions', errors);
  const timeoutSeconds = integer(query, 'timeoutSeconds') ?? 0;
  return {
    labelSelector: value(query, 'labelSelector'),
    fieldSelector: value(query, 'fieldSelector'),
    resourceVersion: value(query, 'resourceVersion'),
    resourceVersionMatch: match as ResourceVersionMatch,
    limit: Math.max(0, integer(query, 'limit') ?? 0),
    continue: value(query, 'continue'),
    allowWatchBookmarks: flag(query, 'allowWatchBookmarks') ?? false,
    sendInitialEvents: flag(query, 'sendInitialEvents') ?? false,
    timeoutMs: timeoutSeconds > 0 ? Math.min(timeoutSeconds, 86_400) * 1000 : undefined,
  };
}

interface RawDeleteOptions {
  readonly dryRun: readonly string[];
  readonly gracePeriodSeconds: number | undefined;
  readonly uid: string | undefined;
  readonly resourceVersion: string | undefined;
  readonly propagationPolicy: string | undefined;
  readonly orphanDependents: boolean | undefined;
  readonly hasPreconditions: boolean;
  readonly ignoreReadError: boolean;
}

const IGNORE_READ_ERROR = 'ignoreStoreReadErrorWithClusterBreakingPotential';

/** Nothing of the object can be read then, so nothing about it can be asked for. */
function checkIgnoreReadError(raw: RawDeleteOptions, errors: FieldError[]): void {
  if (!raw.ignoreReadError) return;
  const given = {
    dryRun: raw.dryRun.length > 0,
    propagationPolicy: raw.propagationPolicy !== undefined,
    orphanDependents: raw.orphanDependents !== undefined,
    gracePeriodSeconds: raw.gracePeriodSeconds !== undefined,
    preconditions: raw.hasPreconditions,
  };
  for (const [field, isGiven] of Object.entries(given)) {
    if (isGiven) errors.push(invalidValue(IGNORE_READ_ERROR, true, `cannot be set together with .${field}`));
  }
}

function deleteOptions(raw: RawDeleteOptions): DeleteOptions {
  const errors: FieldError[] = [];
  const { propagationPolicy: policy, orphanDependents } = raw;
  if (orphanDependents !== undefined && policy !== undefined) {
    errors.push(
      invalidValue(
        'propagationPolicy',
        policy,
        'orphanDependents and deletionPropagation cannot be both set',
      ),
    );
  }
  if (policy !== undefined && !PROPAGATION_POLICIES.has(policy)) {
    errors.push(notSupported('propagationPolicy', policy, ['Foreground', 'Background', 'Orphan', 'nil']));
  }
  const dryRun = checkDryRun(raw.dryRun, errors);
  checkIgnoreReadError(raw, errors);
  refuse('DeleteOptions', errors);
  let propagationPolicy = (policy ?? '') as DeleteOptions['propagationPolicy'];
  if (orphanDependents !== undefined) propagationPolicy = orphanDependents ? 'Orphan' : 'Background';
  return {
    dryRun,
    gracePeriodSeconds: raw.gracePeriodSeconds,
    preconditions: { uid: raw.uid, resourceVersion: raw.resourceVersion },
    propagationPolicy,
    ...(raw.ignoreReadError ? { [IGNORE_READ_ERROR]: true } : {}),
  };
}

/** DeleteOptions in the query, used when the body is empty. */
export function parseDeleteQuery(query: Query): DeleteOptions {
  return deleteOptions({
    dryRun: query?.getAll('dryRun') ?? [],
    gracePeriodSeconds: integer(query, 'gracePeriodSeconds'),
    uid: undefined,
    resourceVersion: undefined,
    propagationPolicy: query?.get('propagationPolicy') ?? undefined,
    orphanDependents: flag(query, 'orphanDependents'),
    hasPreconditions: false,
    ignoreReadError: flag(query, IGNORE_READ_ERROR) ?? false,
  });
}

function optional<T>(
  body: object,
  field: string,
  is: (value: unknown) => value is T,
  what: string,
): T | undefined {
  const found: unknown = (body as Record<string, unknown>)[field];
  if (found === undefined || found === null) return undefined;
  if (!is(found)) throw badRequest(`DeleteOptions: ${field} must be ${what}`);
  return found;
}

const isString = (item: unknown): item is string => typeof item === 'string';
const isBoolean = (item: unknown): item is boolean => typeof item === 'boolean';
const isInteger = (item: unknown): item is number => Number.isSafeInteger(item);
const isStrings = (item: unknown): item is string[] => Array.isArray(item) && item.every(isString);
const isRecord = (item: unknown): item is Record<string, unknown> =>
  typeof item === 'object' && item !== null && !Array.isArray(item);

/** DeleteOptions in the body. @throws ApiError 400, 422 */
export function parseDeleteBody(body: object): DeleteOptions {
  const given = optional(body, 'preconditions', isRecord, 'an object');
  const preconditions = given ?? {};
  return deleteOptions({
    dryRun: optional(body, 'dryRun', isStrings, 'a list of strings') ?? [],
    gracePeriodSeconds: optional(body, 'gracePeriodSeconds', isInteger, 'an integer'),
    uid: optional(preconditions, 'uid', isString, 'a string'),
    resourceVersion: optional(preconditions, 'resourceVersion', isString, 'a string'),
    propagationPolicy: optional(body, 'propagationPolicy', isString, 'a string'),
    orphanDependents: optional(body, 'orphanDependents', isBoolean, 'a boolean'),
    hasPreconditions: given !== undefined,
    ignoreReadError: optional(body, IGNORE_READ_ERROR, isBoolean, 'a boolean') ?? false,
  });
}
