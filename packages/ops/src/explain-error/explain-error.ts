/**
 * What a message of an API server means: a table of patterns over the text, and what the text says of the object, the provider and
 * the key it is about.
 */
import type { ErrorPattern } from './pattern.js';
import { configPatterns } from './patterns-config.js';
import { kmsFramePatterns, kmsPatterns } from './patterns-kms.js';
import { valueFramePatterns, valuePatterns } from './patterns-values.js';

export interface ErrorExplanation {
  /** Stable, for scripts. */
  readonly id: string;
  /** What happened: one sentence. */
  readonly cause: string;
  /** What to do. */
  readonly fix: string;
  /** Which commands look further. */
  readonly commands: readonly string[];
}

export interface ErrorSubject {
  /** The storage key. */
  readonly key?: string;
  /** The provider's name, or its prefix. */
  readonly provider?: string;
  /** The keyID, or its hash as metrics show it. */
  readonly keyId?: string;
  readonly socket?: string;
  /** The gRPC status of the call. */
  readonly grpcCode?: string;
}

export interface ExplainedError {
  /** The most specific first; empty when nothing is known about the text. */
  readonly explanations: readonly ErrorExplanation[];
  readonly subject: ErrorSubject;
}

/** Specific causes first; what only says where a failure was met last. */
export const errorPatterns: readonly ErrorPattern[] = [
  ...kmsPatterns,
  ...valuePatterns,
  ...configPatterns,
  ...kmsFramePatterns,
  ...valueFramePatterns,
];

/** A line of a log is short; more than this is not looked at. */
const TEXT_MAX_CHARACTERS = 256 * 1024;

/** Total: whatever the text, there is an answer. */
export function explainError(text: string): ExplainedError {
  const plain = unescaped(text.slice(0, TEXT_MAX_CHARACTERS));
  const found = errorPatterns.filter(({ pattern }) => pattern.test(plain));
  const explanations = found
    .filter(({ id }) => !found.some((one) => one.id !== id && isSaidBetterBy(id, one.id)))
    .map(({ id, cause, fix, commands }) => ({ id, cause, fix, commands }));
  return { explanations, subject: subjectOf(plain) };
}

/** A general row says nothing more where the special one was found. */
function isSaidBetterBy(general: string, special: string): boolean {
  switch (general) {
    case 'deadline':
      return true;
    case 'illegal-base64':
      return special === 'manifest-base64' || special === 'key-base64';
    case 'kms-unavailable':
      return special.startsWith('kms-socket-');
    default:
      return false;
  }
}

/** klog and JSON write quotes inside quotes as \". */
function unescaped(text: string): string {
  return text.replaceAll('\\"', '"');
}

const SUBJECT: readonly (readonly [keyof ErrorSubject, RegExp])[] = [
  ['key', /(?:unable to transform key |\bkey[=:] ?)"?(\/[^\s",]+)/i],
  ['key', /(\/registry\/[^\s",;]+)/],
  ['provider', /k8s:enc:kms:v[12]:([^:\s"]+):/],
  ['provider', /(k8s:enc:[a-z]+:v\d+:(?:[^:\s"]+:)?)/],
  ['provider', /KMS[- ]?Provider ([^\s,"]+),? /i],
  ['provider', /"kms plugin failed health check probe".*? name="([^"]+)"/],
  ['provider', /duplicate KMS provider name ([^\s,]+)/],
  ['provider', /for named key ([^\s:]+)/],
  ['provider', /\[-\](kms-provider(?:s|-\d+)) failed/],
  ['keyId', /(?:statusKeyIDHash|keyID hash)[= ]"(sha256:[0-9a-f]{64})"/],
  ['keyId', /(arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:(?:key|alias)\/[\w/-]+)/],
  ['keyId', /keyI[dD]"?[=:] ?"([^"]{1,1024})"/],
  ['socket', /(unix:\/\/\/[^\s"',)]+)/],
  ['socket', /dial unix ([^\s:]+):/],
  ['socket', /addr="([^"]+)"/],
  ['grpcCode', /rpc error: code = (\w+)/],
];

function subjectOf(text: string): ErrorSubject {
  const subject: Partial<Record<keyof ErrorSubject, string>> = {};
  for (const [name, pattern] of SUBJECT) {
    const value = pattern.exec(text)?.[1];
    if (value !== undefined) subject[name] ??= value.replace(/[.:]+$/, '');
  }
  return subject;
}
