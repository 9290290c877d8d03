/** The real AWS CLI, pointed at a service under test. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { REGION, SECRET, type TestService } from './harness.js';

const AWS = fileURLToPath(new URL('../../../../.tools/bin/aws', import.meta.url));

/** Runs `aws` as the administrator of the first account; resolves with its standard output. */
export async function awsCli(kms: TestService): Promise<(...args: string[]) => Promise<string>> {
  assert.ok(existsSync(AWS), 'the AWS CLI is missing; install it with: npm run tools');
  const caFile = join(kms.dataDir, 'ca.pem');
  await writeFile(caFile, kms.ca);
  const env = {
    PATH: process.env['PATH'],
    HOME: kms.dataDir,
    AWS_ACCESS_KEY_ID: 'admin',
    AWS_SECRET_ACCESS_KEY: SECRET,
    AWS_REGION: REGION,
    AWS_DEFAULT_REGION: REGION,
    AWS_CA_BUNDLE: caFile,
    AWS_EC2_METADATA_DISABLED: 'true',
  };
  return async (...args) => {
    const { stdout } = await promisify(execFile)(AWS, ['--endpoint-url', kms.service.endpoint, ...args], {
      env,
      timeout: 30_000,
      maxBuffer: 16 * 1024 * 1024,
    });
    return stdout.trim();
  };
}
