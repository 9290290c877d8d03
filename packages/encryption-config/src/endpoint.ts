/**
 * The `endpoint` of a KMS provider, read as the reference reads it: Go's `net/url.Parse`, of which scheme and path count.
 */

export type ParsedEndpoint =
  | { readonly scheme: string; readonly path: string; readonly problem?: undefined }
  | { readonly problem: string };

/** `problem` is in Go's words. */
export function parseKmsEndpoint(endpoint: string): ParsedEndpoint {
  const failed = (reason: string): ParsedEndpoint => ({
    problem: `parse ${JSON.stringify(endpoint)}: ${reason}`,
  });
  if (hasControlCharacter(endpoint)) return failed('net/url: invalid control character in URL');
  const { before: url, after: fragment } = cut(endpoint, '#');
  if (url.startsWith(':')) return failed('missing protocol scheme');
  const [, scheme = '', afterScheme = url] = /^([a-zA-Z][a-zA-Z0-9+.-]*):(.*)$/.exec(url) ?? [];
  const rest = cut(afterScheme, '?').before;
  if (scheme === '' && /^[^/]*:/.test(rest)) return failed('first path segment in URL cannot contain colon');
  // Without a leading slash the rest is opaque, and nothing of it is looked at.
  const opaque = scheme !== '' && !rest.startsWith('/');
  const slash = rest.indexOf('/', 2);
  const pathStart = rest.startsWith('//') ? (slash < 0 ? rest.length : slash) : 0;
  const path = opaque ? '' : rest.slice(pathStart);
  const problem =
    (pathStart > 0 ? authorityProblem(rest.slice(2, pathStart)) : undefined) ??
    escapeProblem(path) ??
    escapeProblem(fragment);
  return problem === undefined ? { scheme: scheme.toLowerCase(), path } : failed(problem);
}

function cut(text: string, separator: string): { readonly before: string; readonly after: string } {
  const at = text.indexOf(separator);
  return at < 0 ? { before: text, after: '' } : { before: text.slice(0, at), after: text.slice(at + 1) };
}

function hasControlCharacter(text: string): boolean {
  return Buffer.from(text).some((byte) => byte < 0x20 || byte === 0x7f);
}

function escapeProblem(text: string): string | undefined {
  const bad = /%(?![0-9a-fA-F]{2}).{0,2}/.exec(text);
  return bad === null ? undefined : `invalid URL escape ${JSON.stringify(bad[0])}`;
}

function authorityProblem(authority: string): string | undefined {
  const at = authority.lastIndexOf('@');
  if (!/^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(authority.slice(0, Math.max(at, 0)))) {
    return 'net/url: invalid userinfo';
  }
  const host = authority.slice(at + 1);
  if (host.startsWith('[') && !host.includes(']')) return "missing ']' in host";
  const afterName = host.startsWith('[')
    ? host.slice(host.lastIndexOf(']') + 1)
    : (/:[^:]*$/.exec(host)?.[0] ?? '');
  if (afterName !== '' && !/^:[0-9]*$/.test(afterName)) {
    return `invalid port ${JSON.stringify(afterName)} after host`;
  }
  const badEscape = escapeProblem(host);
  if (badEscape !== undefined) return badEscape;
  // In a host only bytes beyond ASCII, and % itself, may be escaped (RFC 3986 §3.2.2).
  const asciiEscape = /%(?!25)[0-7][0-9a-fA-F]/.exec(host);
  if (asciiEscape !== null) return `invalid URL escape ${JSON.stringify(asciiEscape[0])}`;
  const bad = /[ \\^`{|}]/.exec(host);
  return bad === null ? undefined : `invalid character ${JSON.stringify(bad[0])} in host name`;
}
