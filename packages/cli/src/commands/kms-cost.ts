/** `waxseal kms cost`: what the calls in the audit log would have cost on AWS. */
import { join } from 'node:path';
import { reportCost } from '@waxseal/key-service';
import type { OutputFormat } from '../options.js';
import { existingDataDir } from '../parts/running-key-service.js';
import { formatTable } from '../table.js';

export interface KmsCostOptions {
  readonly dataDir: string;
  readonly output: OutputFormat;
}

export async function kmsCost(options: KmsCostOptions): Promise<void> {
  const dataDir = existingDataDir(options.dataDir);
  const months = await reportCost(join(dataDir.keyService, 'audit'), Date.now());
  if (options.output === 'json') {
    console.log(JSON.stringify({ currency: 'USD', months }));
    return;
  }
  const dollars = (value: number): string => `$${value.toFixed(2)}`;
  const rows = months.map((month) => [
    month.month,
    month.accountId,
    String(month.requests),
    dollars(month.requestsUsd),
    month.keyMonths.toFixed(3),
    dollars(month.keysUsd),
    dollars(month.totalUsd),
  ]);
  console.log(formatTable(['MONTH', 'ACCOUNT', 'REQUESTS', 'COST', 'KEY MONTHS', 'COST', 'TOTAL'], rows));
}
