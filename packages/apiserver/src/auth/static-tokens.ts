/**
 * Static bearer tokens from a file, as kube-apiserver's `--token-auth-file`: one CSV line each,
 * `token,user,uid[,"group1,group2"]`. Tokens are kept only as SHA-256 digests and looked up by digest, so neither
 * memory nor timing tells one.
 */
import { createHash } from 'node:crypto';
import { ApiServerError } from '../errors.js';
import type { UserInfo } from '../rest/contract.js';

export interface StaticToken {
  readonly token: string;
  readonly user: UserInfo;
}

function badLine(line: number, message: string): ApiServerError {
  return new ApiServerError('bad-token-file', `token file, line ${line}: ${message}`, { line });
}

/** The fields of one CSV record (RFC 4180, without line breaks inside quotes); undefined when quoting is broken. */
function csvFields(line: string): string[] | undefined {
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    if (line[at] === '"') {
      const match = /"((?:[^"]|"")*)"(?=,|$)/y;
      match.lastIndex = at;
      const found = match.exec(line);
      if (found === null) return undefined;
      fields.push((found[1] ?? '').replaceAll('""', '"'));
      at = match.lastIndex;
    } else {
      const comma = line.indexOf(',', at);
      const end = comma < 0 ? line.length : comma;
      fields.push(line.slice(at, end).trim());
      at = end;
    }
    if (at >= line.length) return fields;
    at += 1;
  }
}

/**
 * Parses a token file. Empty lines and lines that begin with `#` are skipped.
 *
 * @throws ApiServerError `bad-token-file` with the line; the message never holds a token
 */
export function parseTokenFile(content: string): readonly StaticToken[] {
  const tokens: StaticToken[] = [];
  const seen = new Set<string>();
  for (const [i, raw] of content.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const fields = csvFields(line);
    if (fields === undefined) throw badLine(i + 1, 'a quoted field is not closed before the next comma');
    const [token, name, uid, groups] = fields;
    if (token === undefined || name === undefined || uid === undefined) {
      throw badLine(i + 1, 'write at least three columns: token,user,uid and optionally "group1,group2"');
    }
    if (token === '') throw badLine(i + 1, 'the token is empty');
    if (name === '') throw badLine(i + 1, 'the user name is empty');
    if (seen.has(token)) throw badLine(i + 1, 'the same token stands on an earlier line');
    seen.add(token);
    const names = (groups ?? '')
      .split(',')
      .map((group) => group.trim())
      .filter((group) => group !== '');
    tokens.push({ token, user: { name, uid, groups: names, extra: {} } });
  }
  return tokens;
}

export type StaticTokens = (token: string) => UserInfo | undefined;

function digest(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}

export function createStaticTokens(tokens: readonly StaticToken[]): StaticTokens {
  const users = new Map(tokens.map(({ token, user }) => [digest(token), user]));
  return (token) => users.get(digest(token));
}
