/**
 * Which names, label keys and label values Kubernetes accepts, and what it says about the others.
 *
 * Source of the rule: k8s.io/apimachinery `api/validate/content` and `util/validation`. Every function returns the
 * messages of what is wrong, none when the value is fine.
 */

const DNS_LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const DNS_SUBDOMAIN = `${DNS_LABEL}(\\.${DNS_LABEL})*`;
const QUALIFIED_NAME = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const LABEL_VALUE = `(${QUALIFIED_NAME})?`;
const CONFIG_KEY = '[-._a-zA-Z0-9]+';

const dnsLabelPattern = new RegExp(`^${DNS_LABEL}$`);
const dnsSubdomainPattern = new RegExp(`^${DNS_SUBDOMAIN}$`);
const qualifiedNamePattern = new RegExp(`^${QUALIFIED_NAME}$`);
const labelValuePattern = new RegExp(`^${LABEL_VALUE}$`);
const configKeyPattern = new RegExp(`^${CONFIG_KEY}$`);

const MAX_LABEL_CHARACTERS = 63;
const MAX_SUBDOMAIN_CHARACTERS = 253;

const NONE: readonly string[] = [];

const maxLength = (characters: number): string => `must be no more than ${characters} characters`;

function patternMessage(rule: string, pattern: string, ...examples: string[]): string {
  return `${rule} (e.g. ${examples.map((e) => `'${e}', `).join(' or ')}regex used for validation is '${pattern}')`;
}

const DNS_LABEL_MESSAGE = patternMessage(
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
  DNS_LABEL,
  'my-name',
  '123-abc',
);
const DNS_SUBDOMAIN_MESSAGE = patternMessage(
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
  DNS_SUBDOMAIN,
  'example.com',
);
const QUALIFIED_NAME_MESSAGE = patternMessage(
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
  QUALIFIED_NAME,
  'MyName',
  'my.name',
  '123-abc',
);
const LABEL_VALUE_MESSAGE = patternMessage(
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
  LABEL_VALUE,
  'MyValue',
  'my_value',
  '12345',
);
const CONFIG_KEY_MESSAGE = patternMessage(
  "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
  CONFIG_KEY,
  'key.name',
  'KEY_NAME',
  'key-name',
);

export function dnsLabelErrors(value: string): readonly string[] {
  // The length first: the pattern backtracks on long rows of dashes.
  if (value.length <= MAX_LABEL_CHARACTERS && dnsLabelPattern.test(value)) return NONE;
  const errors: string[] = [];
  if (value.length > MAX_LABEL_CHARACTERS) errors.push(maxLength(MAX_LABEL_CHARACTERS));
  const bounded = value.slice(0, 1024);
  if (!dnsLabelPattern.test(bounded)) {
    errors.push(dnsSubdomainPattern.test(bounded) ? 'must not contain dots' : DNS_LABEL_MESSAGE);
  }
  return errors;
}

function dnsSubdomainErrors(value: string): readonly string[] {
  if (value.length <= MAX_SUBDOMAIN_CHARACTERS && dnsSubdomainPattern.test(value)) return NONE;
  const errors: string[] = [];
  if (value.length > MAX_SUBDOMAIN_CHARACTERS) errors.push(maxLength(MAX_SUBDOMAIN_CHARACTERS));
  if (!dnsSubdomainPattern.test(value.slice(0, 1024))) errors.push(DNS_SUBDOMAIN_MESSAGE);
  return errors;
}

/** Anything that survives as one element of a URL path. */
export function pathSegmentErrors(value: string): readonly string[] {
  if (value === '.' || value === '..') return [`may not be '${value}'`];
  return pathSegmentPrefixErrors(value);
}

function pathSegmentPrefixErrors(value: string): readonly string[] {
  return ['/', '%'].filter((c) => value.includes(c)).map((c) => `may not contain '${c}'`);
}

/** A label key, finalizer name or annotation key (the latter lower-cased first). */
export function qualifiedNameErrors(value: string): readonly string[] {
  const parts = value.split('/');
  if (parts.length > 2) {
    return [
      `a valid label key ${QUALIFIED_NAME_MESSAGE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  const errors: string[] = [];
  const name = parts[parts.length - 1] as string;
  if (parts.length === 2) {
    const prefix = parts[0] as string;
    if (prefix === '') errors.push('prefix part must be non-empty');
    else errors.push(...dnsSubdomainErrors(prefix).map((e) => `prefix part ${e}`));
  }
  if (name === '') errors.push('name part must be non-empty');
  else if (name.length > MAX_LABEL_CHARACTERS) errors.push(`name part ${maxLength(MAX_LABEL_CHARACTERS)}`);
  if (!qualifiedNamePattern.test(name.slice(0, 1024))) errors.push(`name part ${QUALIFIED_NAME_MESSAGE}`);
  return errors;
}

export function labelValueErrors(value: string): readonly string[] {
  if (value.length <= MAX_LABEL_CHARACTERS && labelValuePattern.test(value)) return NONE;
  const errors: string[] = [];
  if (value.length > MAX_LABEL_CHARACTERS) errors.push(maxLength(MAX_LABEL_CHARACTERS));
  if (!labelValuePattern.test(value.slice(0, 1024))) errors.push(LABEL_VALUE_MESSAGE);
  return errors;
}

/** A key of a Secret's or ConfigMap's data. */
export function configKeyErrors(value: string): readonly string[] {
  const errors: string[] = [];
  if (value.length > MAX_SUBDOMAIN_CHARACTERS) errors.push(maxLength(MAX_SUBDOMAIN_CHARACTERS));
  if (!configKeyPattern.test(value)) errors.push(CONFIG_KEY_MESSAGE);
  if (value === '.' || value === '..') errors.push(`must not be '${value}'`);
  else if (value.startsWith('..')) errors.push("must not start with '..'");
  return errors;
}

export type NameRule = (name: string, prefix: boolean) => readonly string[];

/** A prefix may end in the dash that the generated suffix follows. */
const maskTrailingDash = (name: string): string =>
  name.length > 1 && name.endsWith('-') ? `${name.slice(0, -2)}a` : name;

export const nameIsDnsSubdomain: NameRule = (name, prefix) =>
  dnsSubdomainErrors(prefix ? maskTrailingDash(name) : name);
export const nameIsDnsLabel: NameRule = (name, prefix) =>
  dnsLabelErrors(prefix ? maskTrailingDash(name) : name);
export const nameIsPathSegment: NameRule = (name, prefix) =>
  prefix ? pathSegmentPrefixErrors(name) : pathSegmentErrors(name);
