/**
 * The address of a plugin's socket.
 *
 * Source: k8s.io/kms `pkg/util` ParseEndpoint: `unix:///path`, and `unix:///@name` for Linux's abstract namespace, which
 * has no file and no permissions. Listening sides are also given a bare `/path` or `@name`.
 */
import { KmsApiError } from './errors.js';

export interface SocketAddress {
  readonly kind: 'path' | 'abstract';
  /** What `net` connects to and listens on: the path, or NUL and the name. */
  readonly netPath: string;
  /** The form to show and to write into an EncryptionConfiguration. */
  readonly url: string;
  /**
   * False for an abstract name that this runtime fills up with NUL bytes, which makes it another name for programs that
   * are not Node (kube-apiserver among them). Node 20 does so for every name below 107 bytes; Node 22 does not.
   */
  readonly portable: boolean;
}

/** `sun_path` has 108 bytes on Linux and 104 on macOS, the closing NUL (or the opening one) included. */
const sunPathMaxBytes = process.platform === 'darwin' ? 103 : 107;

/**
 * @param endpoint `unix:///path`, `unix:///@name`, `unix://@name`, `/path` or `@name`
 * @throws KmsApiError `invalid_endpoint`
 */
export function parseEndpoint(endpoint: string): SocketAddress {
  const name = socketName(endpoint);
  if (name.includes('\0')) {
    throw new KmsApiError('invalid_endpoint', 'A socket path must not contain NUL bytes.');
  }
  const abstract = name.startsWith('@');
  const bytes = Buffer.byteLength(abstract ? name.slice(1) : name);
  if (bytes < (abstract ? 1 : 2)) {
    throw new KmsApiError(
      'invalid_endpoint',
      `"${endpoint}" names no socket. Use unix:///path/to/socket.sock.`,
    );
  }
  if (bytes > sunPathMaxBytes) {
    throw new KmsApiError(
      'invalid_endpoint',
      `The socket path is ${bytes} bytes and the system allows ${sunPathMaxBytes}. Use a shorter path.`,
    );
  }
  if (abstract) {
    const portable = bytes === sunPathMaxBytes || !padsAbstractNames(process.versions.uv);
    return { kind: 'abstract', netPath: `\0${name.slice(1)}`, url: `unix:///${name}`, portable };
  }
  // Two slashes in front would read as an authority in gRPC's target.
  const netPath = name.replace(/^\/+/, '/');
  return {
    kind: 'path',
    netPath,
    url: `unix://${netPath.replace(/[%?#]/g, encodeURIComponent)}`,
    portable: true,
  };
}

/** libuv passes an abstract name's own length to the kernel since 1.48 (libuv pull request 4266). */
export function padsAbstractNames(libuvVersion: string): boolean {
  const [major = 0, minor = 0] = libuvVersion.split('.').map(Number);
  return major < 1 || (major === 1 && minor < 48);
}

/** `/path` or `@name`. */
function socketName(endpoint: string): string {
  if (endpoint.startsWith('/') || endpoint.startsWith('@')) return endpoint;
  if (!endpoint.startsWith('unix://')) {
    throw new KmsApiError(
      'invalid_endpoint',
      `"${endpoint}" is not a unix socket. Use unix:///path/to/socket.sock, or unix:///@name for an abstract one.`,
    );
  }
  // As url.Parse does: the path ends at ? or #, and is percent-decoded.
  const raw = endpoint.slice('unix://'.length).replace(/[?#].*$/s, '');
  let name: string;
  try {
    name = decodeURIComponent(raw);
  } catch (cause) {
    throw new KmsApiError(
      'invalid_endpoint',
      `"${endpoint}" has a % that is not followed by two hex digits.`,
      { cause },
    );
  }
  if (name.startsWith('/@')) return name.slice(1);
  if (name.startsWith('/') || name.startsWith('@')) return name;
  throw new KmsApiError(
    'invalid_endpoint',
    `"${endpoint}" needs three slashes: unix:///path/to/socket.sock.`,
  );
}
