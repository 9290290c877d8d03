/** Reads what a test service has recorded. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { TestService } from './harness.js';

export interface AuditRecord {
  readonly [member: string]: unknown;
  readonly eventName: string;
  readonly awsRegion: string;
  readonly requestID: string;
  readonly errorCode?: string;
  readonly errorMessage?: string;
}

/** Restarts the service, which delivers the journal, and reads all records of an account in the order of each Region's trail. */
export async function recordsOf(kms: TestService, accountId: string): Promise<AuditRecord[]> {
  await kms.restart();
  const folder = join(kms.dataDir, 'audit', 'AWSLogs', accountId);
  const files = (await readdir(folder, { recursive: true })).filter(
    (path) => path.startsWith('CloudTrail/') && path.endsWith('.gz'),
  );
  const read = files.toSorted().map(async (path) => {
    const { Records } = JSON.parse(gunzipSync(await readFile(join(folder, path))).toString()) as {
      Records: AuditRecord[];
    };
    return Records;
  });
  return (await Promise.all(read)).flat();
}
