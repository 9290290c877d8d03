/**
 * The PKCS#11 tokens custom key stores may use, from the configuration file that also names the principals:
 *
 * ```yaml
 * accounts:
 *   - id: "123456789012"
 *     tokens:
 *       - id: cluster-1a23b4cdefg
 *         module: /usr/lib/softhsm/libsofthsm2.so
 *         token: waxseal            # the token's label, or serial: its serial number
 * ```
 *
 * A module is code that is loaded into the process: it is named by who runs the service, never by a caller of the API.
 */
import { isAbsolute } from 'node:path';
import { parseConfigYaml } from '../config-yaml.js';
import { KeyServiceError } from '../errors.js';
import { isJsonObject } from '../http/json-body.js';

export interface TokenConfig {
  readonly accountId: string;
  /** What CreateCustomKeyStore calls CloudHsmClusterId. */
  readonly clusterId: string;
  /** Absolute path of the PKCS#11 module. */
  readonly module: string;
  readonly label?: string;
  readonly serialNumber?: string;
}

/** CloudHSM's own pattern for cluster ids, with every letter and digit: the API takes 19 to 24 characters. */
const CLUSTER_ID = /^cluster-[a-zA-Z0-9]{11,16}$/;
const MEMBERS = ['id', 'module', 'token', 'serial'];

/**
 * @param yaml a file parsePrincipals has accepted
 * @throws KeyServiceError invalid-principals; the message names the place in the file
 */
export function parseTokens(yaml: string): readonly TokenConfig[] {
  const document = parseConfigYaml(yaml);
  const accounts = isJsonObject(document) ? document['accounts'] : undefined;
  if (!Array.isArray(accounts)) return [];
  const tokens = accounts.flatMap((account: unknown, index) => readAccount(account, `accounts[${index}]`));
  const ids = tokens.map(({ clusterId }) => clusterId);
  const twice = ids.find((id, index) => ids.indexOf(id) !== index);
  if (twice !== undefined) throw invalid('tokens', `has ${twice} twice`);
  return tokens;
}

function readAccount(account: unknown, at: string): readonly TokenConfig[] {
  if (!isJsonObject(account) || account['tokens'] === undefined) return [];
  const { id: accountId, tokens } = account;
  if (!Array.isArray(tokens)) throw invalid(`${at}.tokens`, 'must be a list');
  return tokens.map((token: unknown, index) => readToken(token, String(accountId), `${at}.tokens[${index}]`));
}

function readToken(value: unknown, accountId: string, at: string): TokenConfig {
  if (!isJsonObject(value)) throw invalid(at, 'must be a mapping');
  for (const name of Object.keys(value)) {
    if (!MEMBERS.includes(name)) {
      throw invalid(at, `has an unknown member '${name}'; known are ${MEMBERS.join(', ')}`);
    }
  }
  const { id, module, token, serial } = value;
  if (typeof id !== 'string' || !CLUSTER_ID.test(id)) {
    throw invalid(`${at}.id`, "must be 'cluster-' and 11 to 16 letters or digits");
  }
  if (typeof module !== 'string' || !isAbsolute(module)) {
    throw invalid(`${at}.module`, 'must be the absolute path of a PKCS#11 module');
  }
  const label = readName(token, `${at}.token`);
  const serialNumber = readName(serial, `${at}.serial`);
  if (label === undefined && serialNumber === undefined) {
    throw invalid(at, 'needs token (its label) or serial (its serial number)');
  }
  return {
    accountId,
    clusterId: id,
    module,
    ...(label === undefined ? {} : { label }),
    ...(serialNumber === undefined ? {} : { serialNumber }),
  };
}

function readName(value: unknown, at: string): string | undefined {
  if (value === undefined) return undefined;
  // CK_TOKEN_INFO has 32 bytes for a label, 16 for a serial number.
  if (typeof value !== 'string' || value === '' || Buffer.byteLength(value) > 32) {
    throw invalid(at, 'must be a text of 1 to 32 bytes, in quotes when it is a number');
  }
  return value;
}

function invalid(at: string, what: string): KeyServiceError {
  return new KeyServiceError('invalid-principals', `Configuration: ${at} ${what}.`);
}
