/** `waxseal rotate plan`: what is wanted, on disk before anything is touched. */
import { randomBytes } from 'node:crypto';
import { readFile, realpath } from 'node:fs/promises';
import { planRotation, type WantedChange } from '@waxseal/ops';
import { CliError, exitCodes } from '../errors.js';
import type { OutputFormat } from '../options.js';
import { showRotation } from './rotate-report.js';

export interface RotatePlanOptions {
  readonly state: string;
  readonly configFile: string;
  readonly addKey?: string;
  readonly toKms?: string;
  readonly toIdentity?: boolean;
  readonly target?: string;
  readonly kmsKeyId?: string;
  readonly output: OutputFormat;
}

export async function rotatePlan(options: RotatePlanOptions): Promise<void> {
  const state = await planRotation({
    stateFile: options.state,
    // Later runs may start in another folder, and a link must stay one when the file is replaced.
    configFile: await realpath(options.configFile),
    change: await wantedChange(options),
    randomBytes,
    now: () => new Date(),
  });
  showRotation(state, options.output, { kind: 'planned' });
}

async function wantedChange(options: RotatePlanOptions): Promise<WantedChange> {
  const { addKey, toKms, toIdentity, target, kmsKeyId } = options;
  const given = [addKey, toKms, toIdentity, target, kmsKeyId].filter((each) => each !== undefined);
  if (given.length === 1) {
    if (addKey !== undefined) return parseAddKey(addKey);
    if (toKms !== undefined) return parseToKms(toKms);
    if (target !== undefined)
      return { kind: 'target', text: await readFile(target, 'utf8'), fileName: target };
    if (kmsKeyId !== undefined) return parseKmsKeyId(kmsKeyId);
    return { kind: 'to-identity' };
  }
  throw usage('say what is wanted by one of --add-key, --to-kms, --to-identity, --target, --kms-key-id');
}

function parseAddKey(text: string): WantedChange {
  const colon = text.indexOf(':');
  const word = colon < 0 ? text : text.slice(0, colon);
  const provider = (['aescbc', 'aesgcm', 'secretbox'] as const).find((each) => each === word);
  if (provider === undefined || colon === text.length - 1)
    throw usage('--add-key takes aescbc, aesgcm or secretbox, with a name as secretbox:key2');
  return { kind: 'add-key', provider, ...(colon < 0 ? {} : { name: text.slice(colon + 1) }) };
}

const DEFAULT_TIMEOUT_MS = 3000;

function parseToKms(text: string): WantedChange {
  const fields = new Map<string, string>();
  for (const pair of text.split(',')) {
    const at = pair.indexOf('=');
    fields.set(pair.slice(0, Math.max(at, 0)), pair.slice(at + 1));
  }
  const [name = '', endpoint = ''] = [fields.get('name'), fields.get('endpoint')];
  const seconds = /^(\d{1,3})s$/.exec(fields.get('timeout') ?? '')?.[1];
  const known = [...fields.keys()].every((each) => ['name', 'endpoint', 'timeout'].includes(each));
  if (!known || name === '' || endpoint === '' || (fields.has('timeout') && seconds === undefined))
    throw usage('--to-kms takes name=NAME,endpoint=unix:///PATH and maybe timeout=3s');
  const timeoutMs = seconds === undefined ? DEFAULT_TIMEOUT_MS : Number(seconds) * 1000;
  return { kind: 'to-kms', name, endpoint, timeoutMs };
}

function parseKmsKeyId(text: string): WantedChange {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) throw usage('--kms-key-id takes NAME=KEYID');
  return { kind: 'kms-key-id', name: text.slice(0, at), keyId: text.slice(at + 1) };
}

const usage = (message: string): CliError => new CliError(message, 'See --help.', exitCodes.usage);
