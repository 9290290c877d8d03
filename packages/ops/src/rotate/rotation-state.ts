/**
 * Where a rotation stands, in a file: written whole after every step, so that whoever starts again knows what is done. It holds
 * the configurations that are still to come, with their keys: mode 0600.
 */
import { readFile } from 'node:fs/promises';
import { OpsError } from '../errors.js';
import { replaceFile } from '../replace-file.js';

/** In order. */
export const ROTATION_STEPS = [
  /** The new key can be read everywhere before anybody writes with it. */
  'add-reader',
  'prove-reader',
  'promote',
  'prove-promoted',
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

/** For a KMS's new keyID: its plugins have it, everything is under it. */
export const KEY_ID_STEPS = ['prove-key-id', 'rewrap', 'verify'] as const;

/** Of a rotation that is given up before anybody wrote with the new key. */
export const RESTORE_STEPS = ['restore', 'prove-restored'] as const;

export type RotationStep =
  (typeof ROTATION_STEPS)[number] | (typeof KEY_ID_STEPS)[number] | (typeof RESTORE_STEPS)[number];

export type ConfigurationName = 'original' | 'readers' | 'promoted' | 'kept' | 'wanted';

export interface PlannedConfiguration {
  readonly hash: string;
  /** Undefined once it is not needed any more. */
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
  readonly done: readonly DoneStep[];
  /** The step under way, or stopped in, and since when; through kills. */
  readonly begun?: { readonly step: RotationStep; readonly at: string };
  /** Why the last run went no further; gone as soon as one does. */
  readonly stopped?: { readonly at: string; readonly reason: string };
  /** False: the file could not be edited, its comments are lost. */
  readonly commentsKept?: boolean;
  /** Given up: its end is the file as it was. */
  readonly abandonedAt?: string;
  /** The rotation that this one takes back. */
  readonly undoes?: string;
  readonly rewrapped?: RewrapCounts;
  /** Names of the keys that the end has no more, as `retire` takes them. */
  readonly oldKeys: readonly string[];
}

const FORMAT = 1;

interface DoneStep {
  readonly step: RotationStep;
  /** ISO 8601, as all times. */
  readonly at: string;
  readonly begunAt?: string;
}

/** Undefined: every step is done. */
export function nextStep(state: RotationState): RotationStep | undefined {
  return state.steps[state.done.length];
}

/** Of the rewrap of this rotation and no other, beside its state. */
export function rewrapCheckpointFile(stateFile: string, { id }: RotationState): string {
  return `${stateFile}.${id}.rewrap`;
}

/** Keys are kept only as long as a step may need them. */
export function withoutKeys(state: RotationState): RotationState {
  const bare = ({ hash }: PlannedConfiguration): PlannedConfiguration => ({ hash });
  const { original, readers, promoted, kept, wanted } = state.configurations;
  return {
    ...state,
    configurations: {
      original: bare(original),
      readers: bare(readers),
      promoted: bare(promoted),
      kept: bare(kept),
      wanted: bare(wanted),
    },
  };
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
  const value = parseJson(text);
  if (isState(value)) return value;
  if (isFields(value) && Number.isSafeInteger(value['format']) && value['format'] !== FORMAT) {
    throw new OpsError(
      'state-invalid',
      `${path} was written by another version of Waxseal (format ${String(value['format'])}, this one knows ${FORMAT}): go on with that version`,
    );
  }
  throw new OpsError(
    'state-invalid',
    `${path} is not the state of a rotation, or is damaged. The configuration file is as the last step left it, and the version before each step lies beside it: bring back a copy of the state, or plan anew from the file with another --state`,
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string';
const STEPS: readonly string[] = [...ROTATION_STEPS, ...KEY_ID_STEPS, ...RESTORE_STEPS];
const isStep = (value: unknown): value is RotationStep => isText(value) && STEPS.includes(value);
const isTime = (value: unknown): value is string => isText(value) && !Number.isNaN(Date.parse(value));
/** Absent, or as it must be. */
const mayBe = (value: unknown, is: (each: unknown) => boolean): boolean => value === undefined || is(value);
const isListOf = <T>(value: unknown, is: (each: unknown) => each is T): value is readonly T[] =>
  Array.isArray(value) && (value as readonly unknown[]).every(is);
const isDone = (value: unknown): value is RotationState['done'][number] =>
  isFields(value) && isStep(value['step']) && isTime(value['at']) && mayBe(value['begunAt'], isTime);
const isConfiguration = (value: unknown): value is PlannedConfiguration =>
  isFields(value) &&
  /^sha256:[0-9a-f]{64}$/.test(String(value['hash'])) &&
  (value['text'] === undefined || isText(value['text']));
const COUNTS = ['listed', 'stale', 'rewritten', 'conflicts', 'gone', 'failed'] as const;

function isState(value: unknown): value is RotationState {
  if (!isFields(value) || value['format'] !== FORMAT || !Number.isSafeInteger(value['writes'])) return false;
  const { configurations, steps, done, begun, stopped } = value;
  if (!['id', 'configFile', 'change'].every((name) => isText(value[name])) || !isTime(value['plannedAt']))
    return false;
  if (!isFields(configurations) || !isListOf(value['oldKeys'], isText)) return false;
  const names: readonly ConfigurationName[] = ['original', 'readers', 'promoted', 'kept', 'wanted'];
  if (!names.every((name) => isConfiguration(configurations[name]))) return false;
  return (
    mayBe(value['rewrapped'], (it) => isFields(it) && COUNTS.every((n) => Number.isSafeInteger(it[n]))) &&
    mayBe(value['kmsKeyId'], (it) => isFields(it) && isText(it['name']) && isText(it['keyId'])) &&
    mayBe(begun, (it) => isFields(it) && isStep(it['step']) && isTime(it['at'])) &&
    mayBe(stopped, (it) => isFields(it) && isTime(it['at']) && isText(it['reason'])) &&
    mayBe(value['commentsKept'], (it) => typeof it === 'boolean') &&
    mayBe(value['abandonedAt'], isTime) &&
    mayBe(value['undoes'], isText) &&
    isListOf(steps, isStep) &&
    isListOf(done, isDone) &&
    done.every(({ step }, index) => steps[index] === step)
  );
}
