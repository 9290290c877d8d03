/**
 * The configuration file of `waxseal plugin serve`: YAML, several key sets, one process. docs/operating/kms-plugin-config.md is its
 * reference.
 */
import { resolve } from 'node:path';
import { parseSocketGroup } from '@waxseal/kms-api';
import { type Document, Lexer, parseDocument, Parser } from 'yaml';
import { KmsPluginError } from '../errors.js';
import type { CallLimits } from '../guard.js';
import type { HealthAddress } from '../health.js';
import type { KeySetOptions } from '../key-set.js';
import { keyFields, readKeys } from './key-settings.js';
import type { CreateProvider } from './provider-settings.js';
import { Settings, type NamedFile, type Problems } from './settings.js';

/** A key set without its provider, which is made when everything in the file has been found right. */
export interface KeySetConfig {
  readonly options: Omit<KeySetOptions, 'provider'> & { readonly name: string };
  readonly createProvider: CreateProvider;
  /** Two of the same text mean the same provider. */
  readonly providerText: string;
}

export interface PluginConfig {
  readonly keySets: readonly KeySetConfig[];
  readonly health: HealthAddress | undefined;
  /** Every file it names. */
  readonly files: readonly NamedFile[];
}

const fileMaxBytes = 1024 * 1024;
/** YAML's references can make a short file endless. */
const aliasesMax = 100;
/** A provider's settings are a handful deep. */
const depthMax = 100;
const timeoutRange = { min: 100, max: 60_000 };
const intervalRange = { min: 100, max: 3_600_000 };
const problemsShown = 20;

/**
 * @param folder where relative paths begin
 * @throws KmsPluginError `config_invalid`, with every problem on a line of its own
 */
export function parsePluginConfig(text: string, folder: string): PluginConfig {
  if (Buffer.byteLength(text) > fileMaxBytes) {
    throw invalid([`the file has more than ${fileMaxBytes} bytes.`]);
  }
  const problems: Problems = { found: [], folder, files: [] };
  const root = new Settings(parseYaml(text), '', problems);
  const health = readHealth(root.section('health'));
  const sections = root.sections('keys');
  if (sections.length === 0) root.problem('keys', 'expected a list of at least one key set.');
  const keySets = sections.map((section) => readKeySet(section, problems));
  root.end();
  const names = keySets.map((keySet) => keySet?.options.name);
  sections.forEach((section, i) => {
    if (names[i] && names.indexOf(names[i]) < i)
      section.problem('name', `another key set has the name ${names[i]}.`);
  });
  const complete = keySets.filter((keySet) => keySet !== undefined);
  if (problems.found.length > 0 || complete.length !== keySets.length) throw invalid(problems.found);
  return { keySets: complete, health, files: problems.files };
}

function parseYaml(text: string): unknown {
  if (isTooDeep(text)) throw invalid([`not YAML: more than ${depthMax} levels.`]);
  const document = parseDocument(text);
  const [error] = document.errors;
  if (error !== undefined) throw invalid([`not YAML: ${error.message.split('\n', 1)[0] ?? ''}`]);
  try {
    return document.toJS({ maxAliasCount: aliasesMax }) as unknown;
  } catch {
    throw invalid([`not YAML: ${aliasFault(document)}.`]);
  }
}

function aliasFault(document: Document): string {
  try {
    // Uncounted, aliases cost nothing: they share what they stand for.
    document.toJS({ maxAliasCount: -1 });
    return 'too many aliases';
  } catch {
    return 'an alias has no anchor before it';
  }
}

/**
 * Before anything calls itself for every level: where the stack ends inside a regular expression the engine aborts the whole process
 * instead of throwing.
 */
function isTooDeep(text: string): boolean {
  const parser = new Parser();
  for (const lexeme of new Lexer().lex(text)) {
    Array.from(parser.next(lexeme));
    if (parser.stack.length > depthMax) return true;
  }
  return false;
}

function readHealth(settings: Settings | undefined): HealthAddress | undefined {
  if (settings === undefined) return undefined;
  const port = settings.wholeNumber('port', { min: 0, max: 65_535 });
  if (port === undefined) settings.problem('port', 'give the port to answer on; 0 picks a free one.');
  const address: HealthAddress = {
    host: settings.optionalText('host') ?? '127.0.0.1',
    port: port ?? 0,
    healthzPath: readPath(settings, 'healthzPath'),
    livezPath: readPath(settings, 'livezPath'),
  };
  settings.end();
  return address;
}

function readPath(settings: Settings, name: string): string | undefined {
  const path = settings.optionalText(name);
  if (path === undefined || /^\/[\w./-]{1,200}$/.test(path)) return path;
  return settings.problem(name, 'expected a path of letters, digits, dots and dashes, as /healthz.');
}

function readKeySet(settings: Settings, { folder, files }: Problems): KeySetConfig | undefined {
  const name = settings.text('name');
  if (name !== '' && !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name)) {
    settings.problem('name', 'expected 1 to 63 lower-case letters, digits and dashes.');
  }
  const options = {
    name,
    listen: settings.requiredTexts('listen').map((socket) => resolveSocket(socket, folder)),
    socketGroupId: readGroup(settings),
    statusVersion: settings.choice('statusVersion', ['v2', 'v2beta1']),
    versions: readVersions(settings),
    operationTimeoutMs: settings.wholeNumber('operationTimeoutMs', timeoutRange),
    probeIntervalMs: settings.wholeNumber('probeIntervalMs', intervalRange),
    probeRetryMs: settings.wholeNumber('probeRetryMs', intervalRange),
    limits: readLimits(settings.section('limits')),
    awsMetrics: settings.flag('awsMetrics'),
    failOnPendingDeletion: settings.flag('failOnPendingDeletion'),
  };
  const filesBefore = files.length;
  const createProvider = readKeys(settings, options.versions);
  const secretFiles = files.slice(filesBefore).flatMap(({ file, secret }) => (secret ? [file] : []));
  const providerText = settings.textOf(keyFields);
  settings.end();
  return createProvider === undefined
    ? undefined
    : { options: { ...options, secretFiles }, createProvider, providerText };
}

/** A URL and `@name` as they are, a path from where the file lies. */
function resolveSocket(socket: string, folder: string): string {
  return socket.startsWith('@') || /^\w+:/.test(socket) ? socket : resolve(folder, socket);
}

function readLimits(settings: Settings | undefined): CallLimits | undefined {
  if (settings === undefined) return undefined;
  const limits = {
    inFlightMax: settings.wholeNumber('inFlightMax', { min: 1, max: 10_000 }),
    queueMax: settings.wholeNumber('queueMax', { min: 1, max: 100_000 }),
    qpsLimit: settings.wholeNumber('qpsLimit', { min: 1, max: 1_000_000 }),
    burstLimit: settings.wholeNumber('burstLimit', { min: 1, max: 1_000_000 }),
    attemptsMax: settings.wholeNumber('attemptsMax', { min: 1, max: 10 }),
    retryTokenCapacity: settings.wholeNumber('retryTokenCapacity', { min: 0, max: 1_000_000 }),
    breakerFailuresMax: settings.wholeNumber('breakerFailuresMax', { min: 1, max: 10_000 }),
  };
  settings.end();
  return limits;
}

function readGroup(settings: Settings): number | undefined {
  const group = settings.optionalText('socketGroup');
  if (group === undefined) return undefined;
  try {
    return parseSocketGroup(group);
  } catch (error) {
    return settings.problem('socketGroup', error instanceof Error ? error.message : 'no such group.');
  }
}

function readVersions(settings: Settings): readonly ('v1' | 'v2')[] | undefined {
  const versions = settings.texts('versions');
  const known = versions?.filter((version) => version === 'v1' || version === 'v2');
  if (known?.length === versions?.length && known?.length !== 0) return known;
  return settings.problem('versions', 'expected v1, v2 or both.');
}

/** What makes a configuration unusable, as one error. */
export function invalid(problems: readonly string[]): KmsPluginError {
  const more = problems.length - problemsShown;
  const lines = [...problems.slice(0, problemsShown), ...(more > 0 ? [`and ${more} more.`] : [])];
  return new KmsPluginError('config_invalid', `The configuration cannot be used:\n  ${lines.join('\n  ')}`);
}
