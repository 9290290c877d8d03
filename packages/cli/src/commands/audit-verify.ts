/** `waxseal audit verify`: is every record of the key service still there, unchanged, in its order? */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AuditFinding, verifyAudit } from '@waxseal/key-service';
import { CliError, exitCodes } from '../errors.js';
import type { OutputFormat } from '../options.js';

export interface AuditVerifyOptions {
  readonly dataDir: string;
  readonly publicKey?: string;
  readonly output: OutputFormat;
}

/** @param folder an audit folder, wherever it was copied to; undefined: that of the data directory */
export async function auditVerify(folder: string | undefined, options: AuditVerifyOptions): Promise<void> {
  const path = folder ?? join(options.dataDir, 'key-service', 'audit');
  if (!existsSync(path)) {
    throw new CliError(
      `${path} does not exist`,
      'Give the audit folder, or the --data-dir it is in.',
      exitCodes.usage,
    );
  }
  const result = await verifyAudit({
    folder: path,
    publicKeyPem: options.publicKey === undefined ? undefined : readFileSync(options.publicKey, 'utf8'),
  });
  const { findings, records, logFiles, digestFiles, journalRecords, keyFingerprints } = result;
  if (findings.length + records + logFiles + digestFiles + journalRecords === 0) {
    throw new CliError(
      `${path} holds no audit record`,
      'A service that was called once has some: was the folder emptied, or is it another one?',
    );
  }
  if (findings.length > 0) process.exitCode = exitCodes.negative;
  if (options.output === 'json') {
    console.log(JSON.stringify({ ok: findings.length === 0, ...result }));
    return;
  }
  const counted = `${records} records in ${logFiles} log files, ${digestFiles} signed digests`;
  const open =
    journalRecords === 0
      ? ''
      : `\n${journalRecords} records are in the journal: chained, signed when delivered.`;
  const keys = keyFingerprints.length === 0 ? '' : `\nSigned by ${keyFingerprints.join(', ')}.`;
  console.log(
    findings.length === 0
      ? `Nothing was removed, changed or reordered: ${counted}.${open}${keys}`
      : `${findings.map(describe).join('\n')}\n\n${findings.length} findings; read ${counted}.${open}`,
  );
}

function describe({ kind, path, sequence, message }: AuditFinding): string {
  return `${kind}  ${path}${sequence === undefined ? '' : `, record ${sequence}`}: ${message}`;
}
