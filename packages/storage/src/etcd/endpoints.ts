/**
 * etcd endpoints as etcdctl and kube-apiserver write them: `https://host:2379`, `http://host:2379`, `host:2379`,
 * `unix:///path/to/socket`.
 */
import { StoreError } from '../store.js';

export interface EtcdEndpoint {
  /** As the user wrote it; shown in errors. */
  readonly name: string;
  /** A gRPC target. */
  readonly target: string;
  readonly tls: boolean;
}

/**
 * @param tlsByDefault what an endpoint without a scheme uses
 * @throws StoreError `invalid-argument`
 */
export function parseEndpoint(text: string, tlsByDefault: boolean): EtcdEndpoint {
  const scheme = /^([a-z]+):\/\//.exec(text)?.[1];
  if (scheme === 'unix' || scheme === 'unixs') {
    const path = text.slice(`${scheme}://`.length);
    if (!path.startsWith('/'))
      throw invalid(text, 'a unix endpoint needs an absolute path: unix:///run/etcd.sock');
    return { name: text, target: `unix:${path}`, tls: scheme === 'unixs' };
  }
  if (scheme !== undefined && scheme !== 'http' && scheme !== 'https') {
    throw invalid(text, `the scheme ${scheme} is not http, https or unix`);
  }
  let url: URL;
  try {
    url = new URL(scheme === undefined ? `http://${text}` : text);
  } catch (cause) {
    throw invalid(text, 'write it as https://host:2379', cause);
  }
  if (
    url.hostname === '' ||
    (url.pathname !== '' && url.pathname !== '/') ||
    url.username !== '' ||
    url.search !== ''
  ) {
    throw invalid(text, 'write it as https://host:2379, without path, user or query');
  }
  const defaultPort = url.protocol === 'https:' ? 443 : 80;
  const port = url.port === '' ? portAsWritten(text, defaultPort) : Number(url.port);
  return {
    name: text,
    target: `dns:${url.hostname}:${port}`,
    tls: scheme === undefined ? tlsByDefault : scheme === 'https',
  };
}

/** URL drops a port that is the scheme's default; without any port etcd's own is meant. */
function portAsWritten(text: string, defaultPort: number): number {
  return new RegExp(`:${defaultPort}/?$`).test(text) ? defaultPort : 2379;
}

function invalid(text: string, why: string, cause?: unknown): StoreError {
  // Somebody may have written a password before the host.
  const shown = text.replace(/[^/]*@/, '…@');
  return new StoreError('invalid-argument', `etcd endpoint ${JSON.stringify(shown)}: ${why}.`, { cause });
}
