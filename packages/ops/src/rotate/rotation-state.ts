/**
 * Where a rotation stands, in a file: written whole after every step, so that whoever starts again knows what is done. It holds
 * the configurations that are still to come, with their keys: mode 0600.
 */
import { readFile } from 'node:fs/promises';
import { OpsError } from '../errors.js';
import { replaceFile } from '../replace-file.js';

/** In order. A rotation for a KMS's new keyID has the last ones only. */
export const ROTATION_STEPS = [
  /** The new key can be read everywhere before anybody writes with it. */
  'add-reader',
  'prove-reader',
  'promote',
  'prove-promoted',
  /** Servers' KMS plugins have the new keyID. */
  'prove-key-id',
  'rewrap',
  'verify',
  /** As wanted, with the old writer still as a reader. */
  'keep-one',
  'prove-kept',
  /** Nothing needs the old keys: asked by `finish` alone. */
  'retire',
  'remove-old',
  'prove-removed',
] as const;

export type RotationStep = (typeof ROTATION_STEPS)[number];

export type ConfigurationName = 'original' | 'readers' | 'promoted' | 'kept' | 'wanted';

export interface PlannedConfiguration {
  readonly hash: string;
  /** Undefined once it is not needed any more, and for the original. */
  readonly text?: string;
}

export interface RewrapCounts {
  readonly listed: number;
  readonly stale: number;
  readonly rewritten: number;
  readonly conflicts: number;
  readonly gone: number;
  readonly failed: number;
}

export interface RotationState {
  readonly format: 1;
  readonly id: string;
  /** How many times it was written: two runs at once are found out by it. */
  readonly writes: number;
  /** ISO 8601. */
  readonly plannedAt: string;
  readonly configFile: string;
  /** For people: what was asked. */
  readonly change: string;
  readonly kmsKeyId?: { readonly name: string; readonly keyId: string };
  readonly configurations: Readonly<Record<ConfigurationName, PlannedConfiguration>>;
  readonly steps: readonly RotationStep[];
  readonly done: readonly { readonly step: RotationStep; readonly at: string }[];
  readonly rewrapped?: RewrapCounts;
  /** Names of the keys that the end has no more, as `retire` takes them. */
  readonly oldKeys: readonly string[];
}

/** Undefined: every step is done. */
export function nextStep(state: RotationState): RotationStep | undefined {
  return state.steps[state.done.length];
}

/** @throws OpsError source-unreadable, state-invalid */
export async function readRotationState(path: string): Promise<RotationState> {
  const state = await readIfPresent(path);
  if (state !== undefined) return state;
  throw new OpsError('source-unreadable', `there is no rotation in ${path}: plan one first`);
}

/**
 * @param before what the file held when it was read; undefined: no file
 * @throws OpsError state-invalid when another process wrote it meanwhile
 */
export async function writeRotationState(
  path: string,
  state: RotationState,
  before: RotationState | undefined,
): Promise<RotationState> {
  const present = await readIfPresent(path);
  if (present?.id !== before?.id || present?.writes !== before?.writes) {
    throw new OpsError('state-invalid', `another process works on the rotation in ${path}: let it end first`);
  }
  const next = { ...state, writes: state.writes + 1 };
  await replaceFile(path, `${JSON.stringify(next, undefined, 2)}\n`);
  return next;
}

export async function readIfPresent(path: string): Promise<RotationState | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new OpsError('source-unreadable', `the rotation's state cannot be read: ${String(error)}`, error);
  }
  const state = parseState(text);
  if (state !== undefined) return state;
  throw new OpsError('state-invalid', `${path} is not the state of a rotation, or is damaged`);
}

function parseState(text: string): RotationState | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isState(value) ? value : undefined;
}

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string';
const isStep = (value: unknown): value is RotationStep => ROTATION_STEPS.some((step) => step === value);
const isListOf = <T>(value: unknown, is: (each: unknown) => each is T): value is readonly T[] =>
  Array.isArray(value) && (value as readonly unknown[]).every(is);
const isDone = (value: unknown): value is RotationState['done'][number] =>
  isFields(value) && isStep(value['step']) && isText(value['at']);
const isConfiguration = (value: unknown): value is PlannedConfiguration =>
  isFields(value) &&
  /^sha256:[0-9a-f]{64}$/.test(String(value['hash'])) &&
  (value['text'] === undefined || isText(value['text']));
const COUNTS = ['listed', 'stale', 'rewritten', 'conflicts', 'gone', 'failed'] as const;

function isState(value: unknown): value is RotationState {
  if (!isFields(value) || value['format'] !== 1 || !Number.isSafeInteger(value['writes'])) return false;
  const { configurations, steps, done, rewrapped, kmsKeyId } = value;
  if (!['id', 'plannedAt', 'configFile', 'change'].every((name) => isText(value[name]))) return false;
  if (!isFields(configurations) || !isListOf(value['oldKeys'], isText)) return false;
  const names: readonly ConfigurationName[] = ['original', 'readers', 'promoted', 'kept', 'wanted'];
  if (!names.every((name) => isConfiguration(configurations[name]))) return false;
  if (
    rewrapped !== undefined &&
    !(isFields(rewrapped) && COUNTS.every((n) => Number.isSafeInteger(rewrapped[n])))
  )
    return false;
  if (
    kmsKeyId !== undefined &&
    !(isFields(kmsKeyId) && isText(kmsKeyId['name']) && isText(kmsKeyId['keyId']))
  )
    return false;
  return (
    isListOf(steps, isStep) &&
    isListOf(done, isDone) &&
    done.every(({ step }, index) => steps[index] === step)
  );
}
