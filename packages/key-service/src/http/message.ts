/** An HTTP request and its answer as the protocols see them, free of node:http, so that they are tested without a port. */

export interface HttpRequest {
  readonly method: string;
  /** Path and query exactly as sent. */
  readonly target: string;
  /** Names lowercased; repeated headers joined with a comma, as SigV4 canonicalises them. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  readonly sourceIpAddress: string;
  readonly tls?: { readonly version: string; readonly cipherSuite: string } | undefined;
}

export interface HttpResponse {
  readonly status: number;
  readonly contentType: string | undefined;
  readonly requestId: string;
  readonly body: string;
}

/** Splits a request target at its first question mark. */
export function splitTarget(target: string): { readonly path: string; readonly query: string } {
  const mark = target.indexOf('?');
  return mark < 0
    ? { path: target, query: '' }
    : { path: target.slice(0, mark), query: target.slice(mark + 1) };
}
