/**
 * What a message of an API server means: a table of patterns over the text, and what the text says of the object, the provider and
 * the key it is about.
 */
import type { ErrorPattern } from './pattern.js';
import { configPatterns } from './patterns-config.js';
import { etcdPatterns } from './patterns-etcd.js';
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
  ...etcdPatterns,
  ...kmsPatterns,
  ...valuePatterns,
  ...configPatterns,
  ...kmsFramePatterns,
  ...valueFramePatterns,
];

/** Of a longer text the beginning and the end are looked at, half of this each: a log ends with what stopped its writer. */
const TEXT_MAX_CHARACTERS = 256 * 1024;

/** Total: whatever the text, there is an answer. Of several messages the causes come first, those of one message together. */
export function explainError(text: string): ExplainedError {
  const messages = messagesOf(excerpt(text));
  let found = messages.map((message) => ({ message, patterns: patternsOf(message) }));
  // A terminal may have wrapped a message in the middle of its words.
  if (found.every(({ patterns }) => patterns.length === 0)) {
    const whole = messages.join(' ');
    found = [whole, messages.join('')]
      .map(excerptOfLine)
      .map((message) => ({ message, patterns: patternsOf(message) }));
  }
  const ranked = [...new Set(found.flatMap(({ patterns }) => patterns))].toSorted(
    (a, b) => errorPatterns.indexOf(a) - errorPatterns.indexOf(b),
  );
  // What the deepest cause is about is said of its own message before anything of the others.
  const [deepest] = ranked;
  const about = found.toSorted(
    (a, b) => Number(isOf(b.patterns, deepest)) - Number(isOf(a.patterns, deepest)),
  );
  return {
    explanations: ranked.map(({ id, cause, fix, commands }) => ({ id, cause, fix, commands })),
    subject: subjectOf(about.map(({ message }) => message)),
  };
}

const isOf = (patterns: readonly ErrorPattern[], pattern: ErrorPattern | undefined): boolean =>
  pattern !== undefined && patterns.includes(pattern);

function excerpt(text: string): string {
  if (text.length <= TEXT_MAX_CHARACTERS) return text;
  return `${text.slice(0, TEXT_MAX_CHARACTERS / 2)}\n${text.slice(-TEXT_MAX_CHARACTERS / 2)}`;
}

/** The same for a line: what prints an object into it says its message before or behind that. */
const LINE_MAX_CHARACTERS = 8 * 1024;

function excerptOfLine(line: string): string {
  if (line.length <= LINE_MAX_CHARACTERS) return line;
  return `${line.slice(0, LINE_MAX_CHARACTERS / 2)} ${line.slice(-LINE_MAX_CHARACTERS / 2)}`;
}

/** Lines, each once, with what loggers write around and into them taken off. */
function messagesOf(text: string): readonly string[] {
  const lines = text.split(/[\r\n]+/).filter((line) => line.trim() !== '');
  return [...new Set(lines.map((line) => plain(excerptOfLine(line))))];
}

/** klog writes quotes inside quotes as \", JSON also < and > as \u003c and \u003e; what is quoted three times has seven backslashes. */
function plain(line: string): string {
  return line
    .replaceAll(/\\{1,8}u([0-9a-fA-F]{4})/g, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    )
    .replaceAll(/\\{1,8}"/g, '"')
    .replaceAll(/\\{1,8}[nrt]/g, ' ');
}

function patternsOf(message: string): readonly ErrorPattern[] {
  const found = errorPatterns.filter(({ pattern }) => pattern.test(message));
  return found.filter(({ id }) => !found.some((one) => one.id !== id && isSaidBetterBy(id, one.id)));
}

/** What only repeats the gRPC code of a call. */
const GRPC_CODE_PATTERNS: ReadonlySet<string> = new Set([
  'kms-throttled',
  'kms-denied',
  'kms-key-gone',
  'kms-unavailable',
  'kms-timeout',
  'kms-unimplemented',
  'kms-refused-ciphertext',
  'kms-key-unusable',
  'kms-call-failed',
]);

/** A general row says nothing more where the special one was found. */
function isSaidBetterBy(general: string, special: string): boolean {
  if (general === 'deadline') return true;
  if (GRPC_CODE_PATTERNS.has(general) && special.startsWith('etcd-')) return true;
  switch (general) {
    case 'illegal-base64':
      return special === 'manifest-base64' || special === 'key-base64';
    case 'kms-unavailable':
      return special.startsWith('kms-socket-');
    default:
      return false;
  }
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

/** @param messages those first that count most */
function subjectOf(messages: readonly string[]): ErrorSubject {
  const subject: Partial<Record<keyof ErrorSubject, string>> = {};
  for (const message of messages) {
    for (const [name, pattern] of SUBJECT) {
      if (subject[name] !== undefined) continue;
      const value = pattern.exec(message)?.[1];
      if (value !== undefined) subject[name] = value.replace(/[.:]+$/, '');
    }
  }
  return subject;
}
