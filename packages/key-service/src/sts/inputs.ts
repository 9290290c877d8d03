/**
 * Requests of STS: parameters of the query protocol, read and checked against the constraints of AWS's model (2011-06-15).
 */
import { AwsError } from '../aws-error.js';
import { type InputOf, integer, type Members, readInput, required, string } from '../validation/members.js';
import { lowerFirst } from '../validation/members.js';

export interface AssumeRoleInput {
  readonly RoleArn: string;
  readonly RoleSessionName: string;
  readonly DurationSeconds: number;
  readonly ExternalId: string | undefined;
  readonly SourceIdentity: string | undefined;
  /** JSON text. */
  readonly Policy: string | undefined;
  readonly PolicyArns: readonly string[];
  readonly Tags: ReadonlyMap<string, string>;
  /** Keys of `Tags`. */
  readonly TransitiveTagKeys: readonly string[];
}

export interface GetSessionTokenInput {
  readonly DurationSeconds: number;
}

const NAME_PATTERN = '[\\w+=,.@-]*';
const name = string({ min: 2, max: 64, pattern: /^[\w+=,.@-]*$/, patternText: NAME_PATTERN });
const MAX_TAGS = 50;
const MAX_POLICY_ARNS = 10;

/** `arn:partition:service:region:account:resource`; region and account may be empty. */
const ARN = /^arn:[^:]+:[^:]+:[^:]*:[^:]*:.+$/s;

const ASSUME_ROLE = {
  RoleArn: required(string({ min: 20, max: 2048 })),
  RoleSessionName: required(name),
  DurationSeconds: integer(900, 43_200),
  ExternalId: string({ min: 2, max: 1224, pattern: /^[\w+=,.@:/-]*$/, patternText: '[\\w+=,.@:\\/-]*' }),
  SourceIdentity: name,
  Policy: string({ min: 1, max: 2048 }),
};

const GET_SESSION_TOKEN = { DurationSeconds: integer(900, 129_600) };

const DEFAULT_ROLE_SESSION_SECONDS = 3600;
const DEFAULT_SESSION_SECONDS = 43_200;

/** @throws AwsError ValidationException */
export function readAssumeRole(parameters: URLSearchParams): AssumeRoleInput {
  const input = readParameters(ASSUME_ROLE, parameters);
  const tags = listMembers(parameters, 'Tags', MAX_TAGS).map(
    (tag) => [tag('Key') ?? '', tag('Value') ?? ''] as const,
  );
  for (const [key, value] of tags) {
    if (key.length < 1 || key.length > 128 || value.length > 256 || /^aws:/i.test(key)) {
      throw new AwsError(
        'ValidationException',
        'Tags must have keys of 1 to 128 and values of at most 256 characters.',
      );
    }
  }
  const tagKeys = new Set(tags.map(([key]) => key.toLowerCase()));
  if (tagKeys.size < tags.length) {
    throw new AwsError(
      'InvalidParameterValueException',
      'Duplicate tag keys found. Please note that Tag keys are case insensitive.',
    );
  }
  const transitive = listTexts(parameters, 'TransitiveTagKeys', MAX_TAGS);
  if (transitive.some((key) => !tagKeys.has(key.toLowerCase()))) {
    throw new AwsError(
      'InvalidParameterValueException',
      'The specified transitive tag key must be included in the requested tags.',
    );
  }
  if (!ARN.test(input.RoleArn)) throw new AwsError('ValidationException', `${input.RoleArn} is invalid`);
  return {
    RoleArn: input.RoleArn,
    RoleSessionName: input.RoleSessionName,
    DurationSeconds: input.DurationSeconds ?? DEFAULT_ROLE_SESSION_SECONDS,
    ExternalId: input.ExternalId,
    SourceIdentity: input.SourceIdentity,
    Policy: input.Policy,
    PolicyArns: listMembers(parameters, 'PolicyArns', MAX_POLICY_ARNS).map((one) => one('arn') ?? ''),
    Tags: new Map(tags),
    TransitiveTagKeys: transitive,
  };
}

/** @throws AwsError ValidationException */
export function readGetSessionToken(parameters: URLSearchParams): GetSessionTokenInput {
  const { DurationSeconds = DEFAULT_SESSION_SECONDS } = readParameters(GET_SESSION_TOKEN, parameters);
  return { DurationSeconds };
}

function readParameters<M extends Members>(members: M, parameters: URLSearchParams): InputOf<M> {
  const body: Record<string, unknown> = {};
  for (const member of Object.keys(members)) {
    const text = parameters.get(member);
    if (text === null) continue;
    if (!member.endsWith('Seconds')) {
      body[member] = text;
      continue;
    }
    if (!/^-?\d{1,9}$/.test(text)) {
      throw new AwsError('ValidationException', `Value at '${lowerFirst(member)}' must be an integer.`);
    }
    body[member] = Number(text);
  }
  return readInput(members, body);
}

/** `Tags.member.1.Key`, … as readers of their parts. */
function listMembers(
  parameters: URLSearchParams,
  list: string,
  max: number,
): readonly ((part: string) => string | undefined)[] {
  const numbers = new Set<number>();
  for (const key of parameters.keys()) {
    const number = new RegExp(`^${list}\\.member\\.(\\d{1,4})\\.`).exec(key)?.[1];
    if (number !== undefined) numbers.add(Number(number));
  }
  if (numbers.size > max) {
    throw new AwsError('ValidationException', `${list} can have at most ${max} members.`);
  }
  return [...numbers]
    .toSorted((a, b) => a - b)
    .map((number) => (part) => parameters.get(`${list}.member.${number}.${part}`) ?? undefined);
}

/** `TransitiveTagKeys.member.1`, … in their order. */
function listTexts(parameters: URLSearchParams, list: string, max: number): readonly string[] {
  const found = new Map<number, string>();
  for (const [key, text] of parameters) {
    const number = new RegExp(`^${list}\\.member\\.(\\d{1,4})$`).exec(key)?.[1];
    if (number !== undefined) found.set(Number(number), text);
  }
  if (found.size > max) {
    throw new AwsError('ValidationException', `${list} can have at most ${max} members.`);
  }
  return [...found].toSorted(([a], [b]) => a - b).map(([, text]) => text);
}
