/** The `throttling` member of the configuration file that holds the principals. */
import { parse } from 'yaml';
import { isJsonObject } from '../http/json-body.js';
import { OPERATIONS } from '../operations/table.js';
import { parseQuotas, type Quotas } from './throttle.js';

/**
 * @param yaml a file parsePrincipals has accepted
 * @throws KeyServiceError invalid-principals
 */
export function parseThrottling(yaml: string): Quotas {
  const document: unknown = parse(yaml, { maxAliasCount: 100, logLevel: 'error' });
  const known = new Set([...OPERATIONS.keys(), 'LookupEvents']);
  return parseQuotas(isJsonObject(document) ? document['throttling'] : undefined, known);
}
