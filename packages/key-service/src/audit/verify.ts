/**
 * Verifies an audit folder without any secret: every file delivered is there and unchanged, every record follows the one
 * before it, every digest and the heads are signed.
 *
 * Walks each trail from the signed heads back through its digests, as `aws cloudtrail validate-logs` does, then forward
 * through the records. What it cannot know: whether the whole folder was put back to an earlier copy of itself, and the tail of the
 * journal that is not delivered yet, which is chained but not signed.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyServiceError } from '../errors.js';
import { GENESIS, parseLine, sha256Hex } from './chain.js';
import { type Digest, type DigestedLogFile, parseDigest, signedText } from './digest.js';
import { type DigestReference, NO_HEADS, readHeads, type SignedHeads } from './heads.js';
import { dayOfPath, filesUnder, readGzip, splitRecords } from './log-files.js';
import { segmentNumbers, segmentPath } from './segment.js';
import { verifySignature } from './signing-key.js';
import { readTrustedKeys, type TrustedKeys } from './trusted-keys.js';

export interface AuditFinding {
  readonly kind: 'missing' | 'changed' | 'unexpected' | 'out-of-order' | 'unsigned';
  /** In the audit folder. */
  readonly path: string;
  /** Number of the record in its trail, when one record is at fault. */
  readonly sequence?: number;
  readonly message: string;
}

export interface AuditVerification {
  readonly findings: readonly AuditFinding[];
  readonly digestFiles: number;
  readonly logFiles: number;
  readonly records: number;
  /** Records in the journal: chained, and signed when they are delivered. */
  readonly journalRecords: number;
  /** Keys that signed what was found. */
  readonly keyFingerprints: readonly string[];
}

export interface VerifyAuditOptions {
  readonly folder: string;
  /** PEM of the only key to trust; default: the keys in `digest-keys`, which whoever can change the folder can change too. */
  readonly publicKeyPem?: string | undefined;
}

/** A service may deliver while its folder is read: then the heads change, and the reading begins again. */
const MAX_READINGS = 5;

/** @throws KeyServiceError invalid-option when the public key is none; the file system's errors */
export async function verifyAudit(options: VerifyAuditOptions): Promise<AuditVerification> {
  for (let reading = 1; ; reading++) {
    const before = await readFile(join(options.folder, 'heads.json'), 'utf8').catch(() => '');
    const verification = await new Verifier(options).run();
    const after = await readFile(join(options.folder, 'heads.json'), 'utf8').catch(() => '');
    if (before === after || reading === MAX_READINGS) return verification;
  }
}

interface ChainPosition {
  readonly sequence: number;
  readonly sha256: string;
}

class Verifier {
  readonly #folder: string;
  readonly #publicKeyPem: string | undefined;
  readonly #findings: AuditFinding[] = [];
  readonly #expected = new Set<string>();
  readonly #used = new Set<string>();
  #keys: TrustedKeys = new Map();
  #retainedFrom = '';
  #digestFiles = 0;
  #logFiles = 0;
  #records = 0;
  #journalRecords = 0;

  constructor({ folder, publicKeyPem }: VerifyAuditOptions) {
    this.#folder = folder;
    this.#publicKeyPem = publicKeyPem;
  }

  async run(): Promise<AuditVerification> {
    this.#keys = await readTrustedKeys(this.#folder, this.#publicKeyPem, (path) =>
      this.#report({ kind: 'changed', path, message: 'is not the public key its name says' }),
    );
    const files = await filesUnder(this.#folder, 'AWSLogs');
    const signed = this.#readHeads(files.length > 0);
    const { heads } = signed;
    this.#retainedFrom = heads.retainedFrom ?? '';
    const positions = new Map<string, ChainPosition>();
    for (const [trail, head] of heads.trails) {
      const digests = head.digest === undefined ? [] : await this.#walkDigests(head.digest);
      const position = await this.#walkRecords(digests.toReversed());
      if (digests.length > 0 && (position?.sequence !== head.sequence || position.sha256 !== head.sha256)) {
        this.#report({
          kind: 'changed',
          path: digests[0]?.logFiles.at(-1)?.path ?? trail,
          message: `the trail ${trail} does not end with record ${head.sequence} as heads.json says`,
        });
      }
      positions.set(trail, head);
    }
    const journal = await this.#walkJournal(heads.nextSegment, heads.closed, positions);
    await this.#reportUnexpected(files, journal);
    return {
      findings: this.#findings,
      digestFiles: this.#digestFiles,
      logFiles: this.#logFiles,
      records: this.#records,
      journalRecords: this.#journalRecords,
      keyFingerprints: [...this.#used],
    };
  }

  #report(finding: AuditFinding): void {
    this.#findings.push(finding);
  }

  #readHeads(filesDelivered: boolean): SignedHeads {
    const path = 'heads.json';
    let signed: SignedHeads | undefined;
    try {
      signed = readHeads(this.#folder);
    } catch (error) {
      if (!(error instanceof KeyServiceError) || error.code !== 'audit-corrupt') throw error;
      this.#report({ kind: 'changed', path, message: 'is not what the service wrote' });
      return { heads: NO_HEADS };
    }
    if (signed === undefined) {
      if (filesDelivered)
        this.#report({ kind: 'missing', path, message: 'log files were delivered, but it is gone' });
      return { heads: NO_HEADS };
    }
    if (signed.signature === undefined) {
      this.#report({
        kind: 'unsigned',
        path,
        message: 'is not signed; start and stop the service once to have it signed',
      });
    } else if (
      !this.#verifies(signed.signature.keyFingerprint, signed.signature.text, signed.signature.signature)
    ) {
      this.#report({ kind: 'changed', path, message: this.#badSignature(signed.signature.keyFingerprint) });
    }
    return signed;
  }

  #verifies(fingerprint: string, text: string, signature: string): boolean {
    const key = this.#keys.get(fingerprint);
    if (key === undefined || !verifySignature(key, text, signature)) return false;
    this.#used.add(fingerprint);
    return true;
  }

  #badSignature(fingerprint: string): string {
    return this.#keys.has(fingerprint)
      ? 'its signature does not verify'
      : `it is signed by the key ${fingerprint.slice(0, 64)}, which is not among the trusted ones`;
  }

  /** Newest first; ends at the trail's first digest, at retention, or where the chain is broken. */
  async #walkDigests(newest: DigestReference): Promise<Digest[]> {
    const digests: Digest[] = [];
    let reference: Omit<DigestReference, 'endTime'> | undefined = newest;
    while (reference !== undefined && !this.#isPastRetention(reference.path)) {
      if (this.#expected.has(reference.path)) break;
      this.#expected.add(reference.path);
      const digest = await this.#readDigest(reference);
      if (digest === undefined) break;
      digests.push(digest);
      reference = digest.previous;
    }
    return digests;
  }

  async #readDigest(reference: Omit<DigestReference, 'endTime'>): Promise<Digest | undefined> {
    const { path } = reference;
    const content = await this.#readHashed(path, reference);
    const digest = content === undefined ? undefined : parseDigest(content);
    if (digest === undefined) {
      if (content !== undefined) this.#report({ kind: 'changed', path, message: 'is not a digest file' });
      return undefined;
    }
    this.#digestFiles++;
    const { endTime, previous, keyFingerprint } = digest;
    const text = signedText(endTime, path, reference.sha256, previous?.signature);
    if (!this.#verifies(keyFingerprint, text, reference.signature)) {
      this.#report({ kind: 'changed', path, message: this.#badSignature(keyFingerprint) });
    }
    await this.#checkSignatureFile(path, reference.signature);
    return digest;
  }

  async #checkSignatureFile(digestPath: string, signature: string): Promise<void> {
    const path = `${digestPath}.sig`;
    this.#expected.add(path);
    const text = await readFile(join(this.#folder, path), 'utf8').catch(() => undefined);
    if (text === undefined)
      this.#report({ kind: 'missing', path, message: 'the signature of a digest is gone' });
    else if (text !== `${signature}\n`)
      this.#report({ kind: 'changed', path, message: 'is not the signature of its digest' });
  }

  /** The JSON of a file, if the file is there and not changed so much that nothing can be read. */
  async #readHashed(
    path: string,
    hashes: { readonly sha256: string; readonly fileSha256: string },
  ): Promise<string | undefined> {
    let content: Awaited<ReturnType<typeof readGzip>>;
    try {
      content = await readGzip(this.#folder, path);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
      this.#report({ kind: 'missing', path, message: 'was delivered and is gone' });
      return undefined;
    }
    if (content === undefined) {
      this.#report({
        kind: 'changed',
        path,
        message: 'is not what was delivered: it cannot be decompressed',
      });
      return undefined;
    }
    if (sha256Hex(content.json) !== hashes.sha256 || sha256Hex(content.compressed) !== hashes.fileSha256) {
      this.#report({ kind: 'changed', path, message: 'is not what was delivered: its hash is another' });
    }
    return content.json;
  }

  /** Oldest first. Undefined when nothing could be read. */
  async #walkRecords(digests: readonly Digest[]): Promise<ChainPosition | undefined> {
    const first = digests[0];
    // Only a trail read from its very first digest must begin with record 1.
    let position: ChainPosition | undefined =
      first !== undefined && first.previous === undefined && this.#retainedFrom === ''
        ? { sequence: 0, sha256: GENESIS }
        : undefined;
    for (const { logFiles } of digests) {
      for (const file of logFiles) {
        if (this.#isPastRetention(file.path)) continue;
        this.#expected.add(file.path);
        position = await this.#walkLogFile(file, position);
      }
    }
    return position;
  }

  async #walkLogFile(
    file: DigestedLogFile,
    start: ChainPosition | undefined,
  ): Promise<ChainPosition | undefined> {
    const { path } = file;
    const json = await this.#readHashed(path, file);
    if (json === undefined) return undefined;
    this.#logFiles++;
    const lines = splitRecords(json);
    if (lines === undefined) {
      this.#report({ kind: 'changed', path, message: 'is not a list of records' });
      return undefined;
    }
    let position = start;
    for (const line of lines) {
      position = this.#follow(path, line, position);
      this.#records++;
    }
    return position;
  }

  /** One step of the chain. After a break it goes on from the record that is there, so that each break is told once. */
  #follow(path: string, line: string, before: ChainPosition | undefined): ChainPosition | undefined {
    const parsed = parseLine(line);
    if (parsed === undefined) {
      const sequence = before === undefined ? {} : { sequence: before.sequence + 1 };
      this.#report({ kind: 'changed', path, ...sequence, message: 'holds a text that is no record' });
      return undefined;
    }
    const { sequence, previousSha256 } = parsed;
    if (before !== undefined && sequence !== before.sequence + 1) {
      const message =
        sequence > before.sequence + 1
          ? `records ${before.sequence + 1} to ${sequence - 1} are missing before record ${sequence}`
          : `record ${sequence} comes after record ${before.sequence}`;
      this.#report({ kind: 'out-of-order', path, sequence, message });
    } else if (before !== undefined && previousSha256 !== before.sha256) {
      this.#report({
        kind: 'changed',
        path,
        sequence: before.sequence,
        message: `record ${before.sequence} is not the one record ${sequence} was written after`,
      });
    }
    return { sequence, sha256: sha256Hex(line) };
  }

  /** @returns hashes of the lines in the journal: a delivery under way has written some of them into files already */
  async #walkJournal(
    nextSegment: number,
    closed: boolean,
    positions: Map<string, ChainPosition>,
  ): Promise<ReadonlySet<string>> {
    const lines = new Set<string>();
    const numbers = segmentNumbers(this.#folder).filter((number) => number >= nextSegment);
    if (!closed && this.#used.size > 0 && numbers[0] !== nextSegment) {
      const path = segmentPath('', nextSegment);
      this.#report({ kind: 'missing', path, message: 'the open journal segment is gone' });
    }
    for (const number of numbers) {
      const path = segmentPath('', number);
      const text = await readFile(segmentPath(this.#folder, number), 'utf8').catch(() => '');
      const whole = text.slice(0, text.lastIndexOf('\n') + 1);
      for (const line of whole.split('\n')) {
        if (line === '') continue;
        lines.add(sha256Hex(line));
        const trail = parseLine(line)?.trail ?? '';
        const before = positions.get(trail) ?? { sequence: 0, sha256: GENESIS };
        const after = this.#follow(path, line, before);
        if (after !== undefined) positions.set(trail, after);
        this.#journalRecords++;
      }
    }
    return lines;
  }

  async #reportUnexpected(files: readonly string[], journal: ReadonlySet<string>): Promise<void> {
    for (const path of files) {
      if (this.#expected.has(path) || this.#isPastRetention(path)) continue;
      if (await this.#isBeingDelivered(path, journal)) continue;
      this.#report({ kind: 'unexpected', path, message: 'no digest knows this file' });
    }
  }

  /** Files of a delivery that was cut short, or is under way, hold what the journal still holds. */
  async #isBeingDelivered(path: string, journal: ReadonlySet<string>): Promise<boolean> {
    if (journal.size === 0) return false;
    if (path.endsWith('.new') || path.includes('/CloudTrail-Digest/')) return true;
    const content = await readGzip(this.#folder, path).catch(() => undefined);
    const lines = content && splitRecords(content.json);
    return lines?.every((line) => journal.has(sha256Hex(line))) === true;
  }

  #isPastRetention(path: string): boolean {
    return (dayOfPath(path) ?? '9') < this.#retainedFrom;
  }
}
