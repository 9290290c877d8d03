/**
 * Verify: opens stored values as the API server would and says of each that does not open why. One value per DEK source is enough to
 * know that the keys are there; all of them, to know that every object can be read.
 */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  createEncryptionAtRest,
  grpcConnectors,
  readEncryptionConfig,
  type EncryptionConfiguration,
  type GroupResource,
  type KmsConnectors,
} from '@waxseal/encryption-config';
import { errorMessage, type Opened, type Transformer } from '@waxseal/envelope';
import { OpsError } from '../errors.js';
import { parseObjectPath, readerOf, type ObjectPath } from '../object-path.js';
import type { Source, StoredKeyValue } from '../sources/source.js';
import { describeStoredValue, type StoredValueKind } from '../stored-value.js';
import type { Finding } from './causes.js';
import { createChangedFrames } from './changed-frames.js';
import { createDecision, type Failed, type VerifyFailure } from './decision.js';
import { createContents, type ContentFinding } from './contents.js';
import { createDiagnoser, type Diagnoser, type Subject } from './diagnose.js';
import { createKmsWitnesses } from './kms-damage.js';
import { createKmsGate } from './kms-gate.js';
import { createSampler } from './sampler.js';
import { createStrays } from './strays.js';

export interface VerifyResult {
  /** Values opened or tried. */
  readonly checked: number;
  /** Values under the prefix; the others share a key with one that was checked. */
  readonly seen: number;
  /** In the order of the source. */
  readonly failed: readonly VerifyFailure[];
}

export interface VerifyProgress {
  readonly seen: number;
  /** Live values there are, about; 0 where the source cannot tell. */
  readonly total: number;
  readonly checked: number;
  readonly failed: number;
}

export interface VerifyOptions {
  readonly source: Source;
  /** What the API server's --etcd-prefix is; `/registry` by default. */
  readonly prefix?: string;
  /** Path of the EncryptionConfiguration; KMS v1 is allowed. */
  readonly encryptionConfigFile: string;
  /** Every value; default: one per DEK source, or per key name and resource. KMS v1 has a DEK per value, so all of its values. */
  readonly all?: boolean;
  /** Decodes an opened object completely; throws what is wrong with it. Default: only kind, namespace and name are read. */
  readonly decode?: (data: Buffer) => void;
  /** Values under way at a time; 16 by default. */
  readonly workers?: number;
  readonly onProgress?: (progress: VerifyProgress) => void;
  readonly signal?: AbortSignal;
  /** Default: gRPC over the configured sockets. */
  readonly connectors?: KmsConnectors;
}

const PROGRESS_EVERY = 1024;
const DEFAULT_PREFIXES = ['/registry', '/kubernetes.io', 'registry'];

/** @throws OpsError config-invalid, source-unreadable, source-damaged, interrupted */
export async function verify(options: VerifyOptions): Promise<VerifyResult> {
  const prefix = `${(options.prefix ?? '/registry').replace(/\/+$/, '')}/`;
  const config = await readConfig(options.encryptionConfigFile);
  const diagnoser = createDiagnoser({
    config,
    connectors: options.connectors ?? grpcConnectors,
    randomBytes,
    prefixes: [...new Set([prefix.slice(0, -1), ...DEFAULT_PREFIXES])],
  });
  try {
    const encryption = await createEncryptionAtRest({
      file: options.encryptionConfigFile,
      kmsV1Enabled: true,
      connectors: diagnoser.connectors,
    });
    try {
      return await run(options, prefix, (resource) => encryption.transformerFor(resource), diagnoser);
    } finally {
      await encryption.close();
    }
  } finally {
    diagnoser.close();
  }
}

async function run(
  options: VerifyOptions,
  prefix: string,
  transformerFor: (resource: GroupResource) => Transformer,
  diagnoser: Diagnoser,
): Promise<VerifyResult> {
  const workers = options.workers ?? 16;
  const sampler = createSampler(options.all ?? false);
  const kmsGate = createKmsGate();
  const witnesses = createKmsWitnesses();
  const contents = createContents();
  const frames = createChangedFrames();
  const strays = createStrays();
  const opened = new Set<string>();
  const failed: Failed[] = [];
  const underWay = new Set<Promise<void>>();
  const total = (await options.source.countLive?.(Buffer.from(prefix))) ?? 0;
  let seen = 0;
  let checked = 0;
  const report = (): void => options.onProgress?.({ seen, total, checked, failed: failed.length });

  const fail = (
    { key, kind, value }: Subject,
    group: string,
    order: number,
    failure: Pick<Failed, 'cause' | 'message'>,
  ): void => {
    const refused = isRefusal(failure.cause) ? witnesses.refused(kind, value) : undefined;
    failed.push({ key, ...failure, provider: kind.provider, keyName: kind.key, group, order, refused });
  };

  const settle = (
    subject: Subject,
    group: string,
    order: number,
    finding: ContentFinding | undefined,
  ): void => {
    sampler.settled(group, finding === undefined);
    if (finding !== undefined) fail(subject, group, order, finding);
  };

  const afterOpening = (subject: Subject, group: string, order: number, { data }: Opened): void => {
    const decoding = decodeFinding(options.decode, data);
    const found = contents.judge(subject, data);
    const finding = found?.cause === 'no-object' ? (decoding ?? found) : (found ?? decoding);
    // Plaintext is a view of the source's own memory; everything else is ours to wipe.
    if (subject.kind.provider !== 'identity') data.fill(0);
    // CBC has no tag: what opens into noise was not opened.
    if (finding === undefined || finding.cause === 'moved') {
      opened.add(group);
      witnesses.opened(subject.kind, subject.value);
    }
    settle(subject, group, order, finding);
  };

  const afterFailing = async (
    subject: Subject,
    group: string,
    order: number,
    error: unknown,
  ): Promise<void> => {
    const diagnosis = await diagnoser.diagnose(subject, error);
    kmsGate.answered(subject.kind, subject.value, diagnosis);
    if (diagnosis.cause === 'undecided') strays.add(subject, order);
    sampler.settled(group, false);
    fail(subject, group, order, diagnosis);
  };

  const afterAnswer = async (
    subject: Subject,
    group: string,
    order: number,
    answer: Promise<Opened>,
  ): Promise<void> => {
    let later: Opened;
    try {
      later = await answer;
    } catch (error) {
      await afterFailing(subject, group, order, error);
      return;
    }
    kmsGate.answered(subject.kind, subject.value, undefined);
    afterOpening(subject, group, order, later);
  };

  const check = (entry: StoredKeyValue, order: number): Promise<void> | undefined => {
    const kind = describeStoredValue(entry.value);
    const key = entry.key.toString('utf8');
    const path = parseObjectPath(key, prefix);
    if (path === undefined) return undefined;
    const group = groupOf(kind, path);
    frames.seen({ key, kind, group, order }, entry.value);
    if (!sampler.wants(kind, group)) return undefined;
    checked++;
    const transformer = readerOf(path, entry.value, transformerFor);
    const closed = kmsGate.closed(kind, entry.value);
    // The source may reuse its memory while a KMS is asked.
    const value = kind.provider.startsWith('kms') ? Buffer.from(entry.value) : entry.value;
    const subject: Subject = { key, path, value, kind, transformer };
    if (closed !== undefined) {
      settle(subject, group, order, closed);
      return undefined;
    }
    try {
      const result = transformer.transformFromStorage(value, Buffer.from(entry.key));
      if (!(result instanceof Promise)) {
        afterOpening(subject, group, order, result);
        return undefined;
      }
      return afterAnswer(subject, group, order, result);
    } catch (error) {
      return afterFailing({ ...subject, value: Buffer.from(value) }, group, order, error);
    }
  };

  for await (const entry of options.source.live(Buffer.from(prefix))) {
    if (options.signal?.aborted === true) {
      throw new OpsError('interrupted', `Stopped after ${checked} values; nothing was changed.`);
    }
    const work = check(entry, seen++);
    if (work !== undefined) {
      const tracked: Promise<void> = work.finally(() => underWay.delete(tracked));
      // What it rejects with is thrown by whoever waits below.
      tracked.catch(() => undefined);
      underWay.add(tracked);
      while (underWay.size >= workers) await Promise.race(underWay);
    }
    if (seen % PROGRESS_EVERY === 0) report();
  }
  await Promise.all(underWay);
  const failedKeys = new Set(failed.map(({ key }) => key));
  for (const { key, kind, group, order, message } of frames.changed()) {
    if (failedKeys.has(key)) continue;
    failed.push({
      key,
      cause: 'authentication-failed',
      message,
      provider: kind.provider,
      keyName: kind.key,
      group,
      order,
    });
  }
  report();
  failed.sort((a, b) => a.order - b.order);
  const places = await strays.places(options.source, Buffer.from(prefix));
  const decide = createDecision({ failed, opened, witnesses, places, holdsObjects: contents.holdsObjects() });
  return { checked, seen, failed: failed.flatMap((failure) => decide(failure) ?? []) };
}

/** What the words of a KMS say of its key; that it was not reached says nothing of the value. */
const isRefusal = (cause: Failed['cause']): boolean =>
  cause === 'wrong-key' || (cause.startsWith('kms-') && cause !== 'kms-unreachable');

function decodeFinding(decode: VerifyOptions['decode'], data: Buffer): Finding | undefined {
  try {
    decode?.(data);
    return undefined;
  } catch (error) {
    return { cause: 'malformed', message: `it opens, but does not decode: ${errorMessage(error)}` };
  }
}

/** Values that one key opens: what shares a DEK source, or a key name within a resource. */
function groupOf(kind: StoredValueKind, path: ObjectPath): string {
  const resource = `${path.resource}.${path.group}`;
  if (kind.dekSource !== undefined) return `${kind.provider}:${kind.kmsName}:${kind.key}:${kind.dekSource}`;
  return `${kind.provider}:${kind.key}:${resource}`;
}

async function readConfig(file: string): Promise<EncryptionConfiguration> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new OpsError(
      'config-invalid',
      `The EncryptionConfiguration cannot be read: ${errorMessage(error)}`,
      error,
    );
  }
  const { config, message } = readEncryptionConfig(text, { fileName: file, kmsV1Enabled: true });
  if (config === undefined) {
    throw new OpsError('config-invalid', `The EncryptionConfiguration ${file} cannot be used: ${message}`);
  }
  return config;
}
