/**
 * `heads.json`: where each trail's chain and its newest digest stood when the last segment was delivered.
 *
 * Two lines: a JSON object, and the signature over the first line. Without it nobody could tell that the newest files of a
 * trail were removed. The first release wrote one unsigned line; that is read, and replaced at the next delivery.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { KeyServiceError } from '../errors.js';
import { isJsonObject } from '../http/json-body.js';
import { parseObject } from './chain.js';
import { writeDurably } from './durable-file.js';
import type { AuditSigner } from './signing-key.js';

/** How the next digest names the one before it. */
export interface DigestReference {
  /** In the audit folder. */
  readonly path: string;
  /** digestEndTime. */
  readonly endTime: string;
  /** SHA-256 of the JSON, hexadecimal. */
  readonly sha256: string;
  /** SHA-256 of the compressed file, hexadecimal. */
  readonly fileSha256: string;
  /** Hexadecimal. */
  readonly signature: string;
}

export interface TrailHead {
  readonly sequence: number;
  readonly sha256: string;
  /** Absent only before the trail's first digest. */
  readonly digest?: DigestReference;
}

export interface AuditHeads {
  /** The journal segment that follows what has been delivered. */
  readonly nextSegment: number;
  /** True after a clean end: there is then no open segment. */
  readonly closed: boolean;
  /** YYYY-MM-DD: files of earlier days were removed by retention. */
  readonly retainedFrom?: string;
  readonly trails: ReadonlyMap<string, TrailHead>;
}

export interface SignedHeads {
  readonly heads: AuditHeads;
  /** Absent in the first release's format. */
  readonly signature?: { readonly keyFingerprint: string; readonly signature: string; readonly text: string };
}

export const NO_HEADS: AuditHeads = { nextSegment: 1, closed: false, trails: new Map() };

function headsPath(folder: string): string {
  return join(folder, 'heads.json');
}

/** Undefined when there is no file. @throws KeyServiceError audit-corrupt, audit-unwritable */
export function readHeads(folder: string): SignedHeads | undefined {
  const path = headsPath(folder);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new KeyServiceError('audit-unwritable', `${path} cannot be read. Check its owner and mode.`, {
      cause: error,
    });
  }
  const signed = parseHeads(text);
  if (signed === undefined) {
    throw new KeyServiceError(
      'audit-corrupt',
      `${path} cannot be read. It says where the audit chain stands: restore it from a backup, or move the audit folder away to begin a new chain.`,
    );
  }
  return signed;
}

export async function writeHeads(folder: string, heads: AuditHeads, signer: AuditSigner): Promise<void> {
  const text = headsText(heads);
  const signature = JSON.stringify({ keyFingerprint: signer.fingerprint, signature: signer.sign(text) });
  await writeDurably(headsPath(folder), `${text}\n${signature}\n`);
}

/** The line that is signed. */
export function headsText({ nextSegment, closed, retainedFrom, trails }: AuditHeads): string {
  return JSON.stringify({
    version: 2,
    nextSegment,
    closed,
    ...(retainedFrom === undefined ? {} : { retainedFrom }),
    heads: Object.fromEntries(trails),
  });
}

/** Undefined for anything writeHeads did not write. */
function parseHeads(text: string): SignedHeads | undefined {
  const [body = '', signatureLine, ...rest] = text.split('\n');
  const heads = parseHeadsText(body);
  if (heads === undefined) return undefined;
  if (signatureLine === undefined)
    return parseObject(body)?.['version'] === undefined ? { heads } : undefined;
  const parsed = parseObject(signatureLine);
  const keyFingerprint = parsed?.['keyFingerprint'];
  const signature = parsed?.['signature'];
  if (typeof keyFingerprint !== 'string' || typeof signature !== 'string') return undefined;
  const exact = JSON.stringify({ keyFingerprint, signature }) === signatureLine && rest.join('\n') === '';
  return exact && rest.length === 1
    ? { heads, signature: { keyFingerprint, signature, text: body } }
    : undefined;
}

/** Undefined for anything headsText did not make. */
export function parseHeadsText(body: string): AuditHeads | undefined {
  const parsed = parseObject(body);
  const nextSegment = parsed?.['nextSegment'];
  const stored = parsed?.['heads'];
  const retainedFrom = parsed?.['retainedFrom'];
  if (typeof nextSegment !== 'number' || !isJsonObject(stored)) return undefined;
  const trails = new Map<string, TrailHead>();
  for (const [trail, value] of Object.entries(stored)) {
    const head = readTrailHead(value);
    if (head === undefined) return undefined;
    trails.set(trail, head);
  }
  return {
    nextSegment,
    closed: parsed?.['closed'] === true,
    ...(typeof retainedFrom === 'string' ? { retainedFrom } : {}),
    trails,
  };
}

function readTrailHead(value: unknown): TrailHead | undefined {
  if (!isJsonObject(value)) return undefined;
  const { sequence, sha256, digest } = value;
  if (typeof sequence !== 'number' || typeof sha256 !== 'string') return undefined;
  if (digest === undefined) return { sequence, sha256 };
  const reference = readDigestReference(digest);
  return reference && { sequence, sha256, digest: reference };
}

function readDigestReference(value: unknown): DigestReference | undefined {
  if (!isJsonObject(value)) return undefined;
  const { path, endTime, sha256, fileSha256, signature } = value;
  return typeof path === 'string' &&
    typeof endTime === 'string' &&
    typeof sha256 === 'string' &&
    typeof fileSha256 === 'string' &&
    typeof signature === 'string'
    ? { path, endTime, sha256, fileSha256, signature }
    : undefined;
}
