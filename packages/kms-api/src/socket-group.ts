/** The group that may connect to a socket besides its owner. */
import { readFileSync } from 'node:fs';
import { KmsApiError } from './errors.js';

/**
 * @param group a number, or a name of /etc/group; groups of a directory service are given by number, for Node cannot ask for them
 * @returns the group's number
 * @throws KmsApiError `invalid_endpoint`
 */
export function parseSocketGroup(group: string, groupFile = '/etc/group'): number {
  const gidMax = 2 ** 32 - 2;
  if (/^\d{1,10}$/.test(group) && Number(group) <= gidMax) return Number(group);
  for (const line of readGroups(groupFile)) {
    const [name, , gid] = line.split(':');
    if (name === group && gid !== undefined && /^\d{1,10}$/.test(gid)) return Number(gid);
  }
  throw new KmsApiError(
    'invalid_endpoint',
    `There is no group "${group}" in ${groupFile}. Make it, or give the group's number.`,
  );
}

function readGroups(groupFile: string): readonly string[] {
  try {
    return readFileSync(groupFile, 'utf8').split('\n');
  } catch {
    return [];
  }
}
