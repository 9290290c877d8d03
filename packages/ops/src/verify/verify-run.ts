/** One pass of verify over a source: which values are opened, and what of each answer is kept until all of them were seen. */
import type { GroupResource } from '@waxseal/encryption-config';
import { errorMessage, type Opened, type Transformer } from '@waxseal/envelope';
import { OpsError } from '../errors.js';
import { parseObjectPath, readerOf, type ObjectPath } from '../object-path.js';
import type { StoredKeyValue } from '../sources/source.js';
import { describeStoredValue, type StoredValueKind } from '../stored-value.js';
import type { Finding } from './causes.js';
import { createChangedFrames } from './changed-frames.js';
import { createContents } from './contents.js';
import { createDecision, type Failed } from './decision.js';
import type { Diagnoser, Subject } from './diagnose.js';
import { createKmsWitnesses } from './kms-damage.js';
import { createKmsGate } from './kms-gate.js';
import { createSampler } from './sampler.js';
import { createStrays } from './strays.js';
import type { VerifyOptions, VerifyResult } from './verify.js';

/** A value that is tried. */
interface Tried extends Subject {
  /** Of the values that one key opens. */
  readonly group: string;
  /** Its place in the source. */
  readonly order: number;
}

const DEFAULT_WORKERS = 16;
const PROGRESS_EVERY = 1024;

export class VerifyRun {
  readonly #options: VerifyOptions;
  readonly #prefix: string;
  readonly #transformerFor: (resource: GroupResource) => Transformer;
  readonly #diagnoser: Diagnoser;
  readonly #sampler;
  readonly #kmsGate = createKmsGate();
  readonly #witnesses = createKmsWitnesses();
  readonly #contents = createContents();
  readonly #frames = createChangedFrames();
  readonly #strays = createStrays();
  /** Groups of which a value opened. */
  readonly #opened = new Set<string>();
  readonly #failed: Failed[] = [];
  #seen = 0;
  #checked = 0;

  /** @param prefix where keys begin, with its slash at the end */
  constructor(
    options: VerifyOptions,
    prefix: string,
    transformerFor: (resource: GroupResource) => Transformer,
    diagnoser: Diagnoser,
  ) {
    this.#options = options;
    this.#prefix = prefix;
    this.#transformerFor = transformerFor;
    this.#diagnoser = diagnoser;
    this.#sampler = createSampler(options.all ?? false);
  }

  /** @throws OpsError source-unreadable, source-damaged, interrupted */
  async toEnd(): Promise<VerifyResult> {
    const { source } = this.#options;
    const prefix = Buffer.from(this.#prefix);
    await this.#checkAll(prefix);
    const failed = this.#failed;
    this.#addChangedFrames();
    failed.sort((a, b) => a.order - b.order);
    const decide = createDecision({
      failed,
      opened: this.#opened,
      witnesses: this.#witnesses,
      places: await this.#strays.places(source, prefix),
      holdsObjects: this.#contents.holdsObjects(),
    });
    return {
      checked: this.#checked,
      seen: this.#seen,
      failed: failed.flatMap((failure) => decide(failure) ?? []),
    };
  }

  async #checkAll(prefix: Buffer): Promise<void> {
    const { source, signal, onProgress, workers = DEFAULT_WORKERS } = this.#options;
    const underWay = new Set<Promise<void>>();
    const total = (await source.countLive?.(prefix)) ?? 0;
    const report = (): void =>
      onProgress?.({ seen: this.#seen, total, checked: this.#checked, failed: this.#failed.length });
    for await (const entry of source.live(prefix)) {
      if (signal?.aborted === true) {
        throw new OpsError('interrupted', `Stopped after ${this.#checked} values; nothing was changed.`);
      }
      const work = this.#check(entry, this.#seen++);
      if (work !== undefined) {
        const tracked: Promise<void> = work.finally(() => underWay.delete(tracked));
        // What it rejects with is thrown by whoever waits below.
        tracked.catch(() => undefined);
        underWay.add(tracked);
        while (underWay.size >= workers) await Promise.race(underWay);
      }
      if (this.#seen % PROGRESS_EVERY === 0) report();
    }
    await Promise.all(underWay);
    report();
  }

  /** @returns undefined when it is done already: most values need nobody's answer */
  #check(entry: StoredKeyValue, order: number): Promise<void> | undefined {
    const kind = describeStoredValue(entry.value);
    const key = entry.key.toString('utf8');
    const path = parseObjectPath(key, this.#prefix);
    if (path === undefined) return undefined;
    const group = groupOf(kind, path);
    this.#frames.seen({ key, kind, group, order }, entry.value);
    if (!this.#sampler.wants(kind, group)) return undefined;
    this.#checked++;
    const transformer = readerOf(path, entry.value, this.#transformerFor);
    const closed = this.#kmsGate.closed(kind, entry.value);
    // The source may reuse its memory while a KMS is asked.
    const value = kind.provider.startsWith('kms') ? Buffer.from(entry.value) : entry.value;
    const tried: Tried = { key, path, value, kind, transformer, group, order };
    if (closed !== undefined) {
      this.#settle(tried, closed);
      return undefined;
    }
    try {
      const result = transformer.transformFromStorage(value, Buffer.from(entry.key));
      if (result instanceof Promise) return this.#whenAnswered(tried, result);
      this.#afterOpening(tried, result);
      return undefined;
    } catch (error) {
      return this.#afterFailing({ ...tried, value: Buffer.from(value) }, error);
    }
  }

  async #whenAnswered(tried: Tried, answer: Promise<Opened>): Promise<void> {
    let later: Opened;
    try {
      later = await answer;
    } catch (error) {
      await this.#afterFailing(tried, error);
      return;
    }
    this.#kmsGate.answered(tried.kind, tried.value, undefined);
    this.#afterOpening(tried, later);
  }

  #afterOpening(tried: Tried, { data }: Opened): void {
    const decoding = decodeFinding(this.#options.decode, data);
    const found = this.#contents.judge(tried, data);
    const finding = found?.cause === 'no-object' ? (decoding ?? found) : (found ?? decoding);
    // Plaintext is a view of the source's own memory; everything else is ours to wipe.
    if (tried.kind.provider !== 'identity') data.fill(0);
    // CBC has no tag: what opens into noise was not opened.
    if (finding === undefined || finding.cause === 'moved') {
      this.#opened.add(tried.group);
      this.#witnesses.opened(tried.kind, tried.value);
    }
    this.#settle(tried, finding);
  }

  async #afterFailing(tried: Tried, error: unknown): Promise<void> {
    const diagnosis = await this.#diagnoser.diagnose(tried, error);
    this.#kmsGate.answered(tried.kind, tried.value, diagnosis);
    if (diagnosis.cause === 'undecided') this.#strays.add(tried, tried.order);
    this.#settle(tried, diagnosis);
  }

  /** @param failure undefined: it can be read */
  #settle(
    { key, kind, value, group, order }: Tried,
    failure: Pick<Failed, 'cause' | 'message'> | undefined,
  ): void {
    this.#sampler.settled(group, failure === undefined);
    if (failure === undefined) return;
    const { cause, message } = failure;
    const refused = isRefusal(cause) ? this.#witnesses.refused(kind, value) : undefined;
    this.#failed.push({
      key,
      cause,
      message,
      provider: kind.provider,
      keyName: kind.key,
      group,
      order,
      refused,
    });
  }

  /** What opened although its frame was changed. */
  #addChangedFrames(): void {
    const failedKeys = new Set(this.#failed.map(({ key }) => key));
    for (const { key, kind, group, order, message } of this.#frames.changed()) {
      if (failedKeys.has(key)) continue;
      const { provider, key: keyName } = kind;
      this.#failed.push({
        key,
        cause: 'authentication-failed',
        message,
        provider,
        keyName,
        group,
        order,
      });
    }
  }
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
