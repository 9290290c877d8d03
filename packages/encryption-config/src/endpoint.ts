/**
 * The `endpoint` of a KMS provider, read as the reference reads it: Go's `url.Parse`, of which scheme and path count.
 */

export type ParsedEndpoint =
  | { readonly scheme: string; readonly path: string; readonly problem?: undefined }
  | { readonly problem: string };

/** `problem` is in Go's words. */
export function parseKmsEndpoint(endpoint: string): ParsedEndpoint {
  const failed = (reason: string): ParsedEndpoint => ({
    problem: `parse ${JSON.stringify(endpoint)}: ${reason}`,
  });
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(endpoint)) return failed('net/url: invalid control character in URL');
  if (endpoint.startsWith(':')) return failed('missing protocol scheme');
  const withoutFragment = endpoint.replace(/#.*$/, '');
  const [, scheme = '', afterScheme = withoutFragment] =
    /^([a-zA-Z][a-zA-Z0-9+.-]*):(.*)$/.exec(withoutFragment) ?? [];
  const rest = afterScheme.replace(/\?.*$/, '');
  if (scheme === '' && /^[^/]*:/.test(rest)) return failed('first path segment in URL cannot contain colon');
  const path = rest.startsWith('//') ? rest.slice(2).replace(/^[^/]*/, '') : rest.startsWith('/') ? rest : '';
  const badEscape = /%(?![0-9a-fA-F]{2}).{0,2}/.exec(rest);
  if (badEscape !== null) return failed(`invalid URL escape ${JSON.stringify(badEscape[0])}`);
  return { scheme: scheme.toLowerCase(), path };
}
