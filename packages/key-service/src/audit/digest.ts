/**
 * Digest files: which log files were delivered, with their hashes, signed, each naming the digest before it.
 *
 * Source of the rule: CloudTrail User Guide, "CloudTrail digest file structure" (members, hashes of the uncompressed
 * content, the text that is signed). CloudTrail writes one an hour; here every delivery has one, so that nothing delivered is
 * unsigned. Members whose name begins with `waxseal` are ours: they cover the compressed bytes too.
 */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { join } from 'node:path';
import { isJsonObject } from '../http/json-body.js';
import { parseObject, sha256Hex } from './chain.js';
import { writeDurably } from './durable-file.js';
import type { DigestReference } from './heads.js';
import { type AuditSigner, SIGNATURE_ALGORITHM } from './signing-key.js';

const compress = promisify(gzip);

/** Where S3's bucket name would stand. */
const BUCKET = 'waxseal';

/** A delivered log file as a digest names it. */
export interface DigestedLogFile {
  /** In the audit folder. */
  readonly path: string;
  /** SHA-256 of the JSON, hexadecimal. */
  readonly sha256: string;
  /** SHA-256 of the compressed file, hexadecimal. */
  readonly fileSha256: string;
  readonly oldestEventTime: string;
  readonly newestEventTime: string;
}

export interface Digest {
  readonly accountId: string;
  readonly region: string;
  readonly endTime: string;
  readonly keyFingerprint: string;
  readonly logFiles: readonly DigestedLogFile[];
  /** Absent in the first digest of a trail. */
  readonly previous?: Omit<DigestReference, 'endTime'>;
}

export interface DigestContent {
  readonly accountId: string;
  readonly region: string;
  /** Of the last record covered: makes the name unique and repeatable. */
  readonly lastSequence: number;
  readonly logFiles: readonly DigestedLogFile[];
  readonly previous: DigestReference | undefined;
}

/** Writes `<digest>.json.gz` and its signature beside it, `<digest>.json.gz.sig`. The same content gives the same files. */
export async function writeDigest(
  folder: string,
  content: DigestContent,
  signer: AuditSigner,
): Promise<DigestReference> {
  const { accountId, region, lastSequence, logFiles, previous } = content;
  const oldest = logFiles.map((file) => file.oldestEventTime).toSorted()[0] ?? '';
  const endTime =
    logFiles
      .map((file) => file.newestEventTime)
      .toSorted()
      .at(-1) ?? '';
  const day = endTime.slice(0, 10).replaceAll('-', '/');
  const timestamp = endTime.replaceAll(/[-:]/g, '');
  const trail = `waxseal-${lastSequence.toString().padStart(12, '0')}`;
  const path = `AWSLogs/${accountId}/CloudTrail-Digest/${region}/${day}/${accountId}_CloudTrail-Digest_${region}_${trail}_${region}_${timestamp}.json.gz`;
  const json = JSON.stringify({
    awsAccountId: accountId,
    digestStartTime: previous?.endTime ?? oldest,
    digestEndTime: endTime,
    digestS3Bucket: BUCKET,
    digestS3Object: path,
    digestPublicKeyFingerprint: signer.fingerprint,
    digestSignatureAlgorithm: SIGNATURE_ALGORITHM,
    newestEventTime: endTime,
    oldestEventTime: oldest,
    previousDigestS3Bucket: previous === undefined ? null : BUCKET,
    previousDigestS3Object: previous?.path ?? null,
    previousDigestHashValue: previous?.sha256 ?? null,
    previousDigestHashAlgorithm: previous === undefined ? null : 'SHA-256',
    previousDigestSignature: previous?.signature ?? null,
    waxsealPreviousDigestFileHashValue: previous?.fileSha256 ?? null,
    logFiles: logFiles.map((file) => ({
      s3Bucket: BUCKET,
      s3Object: file.path,
      hashValue: file.sha256,
      hashAlgorithm: 'SHA-256',
      newestEventTime: file.newestEventTime,
      oldestEventTime: file.oldestEventTime,
      waxsealFileHashValue: file.fileSha256,
    })),
  });
  const sha256 = sha256Hex(json);
  const signature = signer.sign(signedText(endTime, path, sha256, previous?.signature));
  const compressed = await compress(json);
  await writeDurably(join(folder, path), compressed);
  await writeDurably(join(folder, `${path}.sig`), `${signature}\n`);
  return { path, endTime, sha256, fileSha256: sha256Hex(compressed), signature };
}

/** What a digest's signature covers. */
export function signedText(
  endTime: string,
  path: string,
  sha256: string,
  previousSignature: string | undefined,
): string {
  return `${endTime}\n${BUCKET}/${path}\n${sha256}\n${previousSignature ?? 'null'}`;
}

/** Undefined when the text is not a digest. */
export function parseDigest(text: string): Digest | undefined {
  const json = parseObject(text);
  if (json === undefined || !Array.isArray(json['logFiles'])) return undefined;
  const {
    awsAccountId: accountId,
    digestEndTime: endTime,
    digestPublicKeyFingerprint: keyFingerprint,
    digestS3Object: path,
    previousDigestS3Object,
  } = json;
  const region = typeof path === 'string' ? path.split('/')[3] : undefined;
  const logFiles = json['logFiles'].map(parseLogFile);
  if (
    typeof accountId !== 'string' ||
    typeof endTime !== 'string' ||
    typeof keyFingerprint !== 'string' ||
    region === undefined ||
    !logFiles.every((file) => file !== undefined)
  ) {
    return undefined;
  }
  const digest: Digest = { accountId, region, endTime, keyFingerprint, logFiles };
  if (previousDigestS3Object === null) return digest;
  const {
    previousDigestHashValue: sha256,
    previousDigestSignature: signature,
    waxsealPreviousDigestFileHashValue: fileSha256,
  } = json;
  return typeof previousDigestS3Object === 'string' &&
    typeof sha256 === 'string' &&
    typeof signature === 'string' &&
    typeof fileSha256 === 'string'
    ? { ...digest, previous: { path: previousDigestS3Object, sha256, signature, fileSha256 } }
    : undefined;
}

function parseLogFile(value: unknown): DigestedLogFile | undefined {
  if (!isJsonObject(value)) return undefined;
  const {
    s3Object: path,
    hashValue: sha256,
    waxsealFileHashValue: fileSha256,
    oldestEventTime,
    newestEventTime,
  } = value;
  return typeof path === 'string' &&
    typeof sha256 === 'string' &&
    typeof fileSha256 === 'string' &&
    typeof oldestEventTime === 'string' &&
    typeof newestEventTime === 'string'
    ? { path, sha256, fileSha256, oldestEventTime, newestEventTime }
    : undefined;
}
