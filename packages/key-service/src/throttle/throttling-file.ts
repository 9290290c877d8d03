/** The `throttling` member of the configuration file that holds the principals. */
import { parseConfigYaml } from '../config-yaml.js';
import { isJsonObject } from '../http/json-body.js';
import { OPERATIONS } from '../operations/table.js';
import { parseQuotas, type Quotas } from './throttle.js';

/**
 * @param yaml a file parsePrincipals has accepted
 * @throws KeyServiceError invalid-principals
 */
export function parseThrottling(yaml: string): Quotas {
  const document = parseConfigYaml(yaml);
  const known = new Set([...OPERATIONS.keys(), 'LookupEvents']);
  return parseQuotas(isJsonObject(document) ? document['throttling'] : undefined, known);
}
