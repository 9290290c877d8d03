/**
 * Which key set answers on which socket. A socket outlives the key set behind it: when the configuration changes, calls that follow go to
 * the new one, and those under way end with the old one.
 */
import {
  KmsApiError,
  parseEndpoint,
  serveKms,
  type InheritedSockets,
  type KmsServer,
} from '@waxseal/kms-api';
import { KmsPluginError } from './errors.js';
import type { KeySet } from './key-set.js';

/** A key set and where it listens. */
interface Listening {
  readonly keySet: KeySet;
  readonly listen: string | readonly string[];
}

export interface SocketRoutes {
  /**
   * Makes exactly these sockets answer: binds new ones, turns others over to their key set, closes the rest.
   *
   * @throws KmsPluginError `invalid_options`, or KmsApiError when a socket cannot be had; then everything stays as it was
   */
  apply(wanted: readonly Listening[]): Promise<void>;
  /** The `unix://` URLs of a key set's sockets. */
  of(keySet: KeySet): readonly string[];
  /** Stops listening everywhere and lets calls in flight finish. */
  close(graceMs?: number): Promise<void>;
}

interface Route {
  keySet: KeySet;
  readonly server: KmsServer;
  readonly url: string;
  readonly groupId: number | undefined;
}

export function createSocketRoutes(inheritedSockets?: InheritedSockets): SocketRoutes {
  let routes = new Map<string, Route>();

  const open = async (listen: string, keySet: KeySet): Promise<Route> => {
    const groupId = keySet.options.socketGroupId;
    const server = await serveKms({
      listen,
      socketGroupId: groupId,
      inheritedSockets,
      onCall: (report) => {
        route.keySet.called(report);
      },
      services: {
        v1: {
          version: (signal) => route.keySet.v1.version(signal),
          encrypt: (plaintext, signal, timeoutMs) => route.keySet.v1.encrypt(plaintext, signal, timeoutMs),
          decrypt: (ciphertext, signal, timeoutMs) => route.keySet.v1.decrypt(ciphertext, signal, timeoutMs),
        },
        v2: {
          status: (signal) => route.keySet.v2.status(signal),
          encrypt: (uid, plaintext, signal, timeoutMs) =>
            route.keySet.v2.encrypt(uid, plaintext, signal, timeoutMs),
          decrypt: (uid, request, signal, timeoutMs) =>
            route.keySet.v2.decrypt(uid, request, signal, timeoutMs),
        },
      },
    });
    const route: Route = { keySet, server, url: server.sockets[0] ?? listen, groupId };
    return route;
  };

  return {
    apply: async (listening) => {
      const wanted = wantedSockets(listening);
      for (const [listen, keySet] of wanted) checkUnchanged(listen, routes.get(listen), keySet);
      const opened = new Map<string, Route>();
      try {
        for (const [listen, keySet] of wanted) {
          if (!routes.has(listen)) opened.set(listen, await open(listen, keySet));
        }
      } catch (error) {
        await Promise.all([...opened.values()].map(({ server }) => server.close(0)));
        throw error;
      }
      const left: Route[] = [];
      for (const [listen, route] of routes) {
        const keySet = wanted.get(listen);
        if (keySet === undefined) {
          left.push(route);
        } else {
          route.keySet = keySet;
          opened.set(listen, route);
        }
      }
      // In the order of the configuration, the key sets' own first.
      routes = new Map([...wanted.keys()].flatMap((listen) => entryOf(opened, listen)));
      await Promise.all(left.map(({ server }) => server.close()));
    },
    of: (keySet) => [...routes.values()].filter((route) => route.keySet === keySet).map(({ url }) => url),
    close: async (graceMs) => {
      await Promise.all([...routes.values()].map(({ server }) => server.close(graceMs)));
    },
  };
}

const entryOf = (routes: ReadonlyMap<string, Route>, listen: string): [string, Route][] => {
  const route = routes.get(listen);
  return route === undefined ? [] : [[listen, route]];
};

function wantedSockets(listening: readonly Listening[]): ReadonlyMap<string, KeySet> {
  const wanted = new Map<string, KeySet>();
  for (const { keySet, listen } of listening) {
    const addresses = typeof listen === 'string' ? [listen] : listen;
    if (addresses.length === 0) {
      throw new KmsPluginError(
        'invalid_options',
        `Key set "${keySet.name}" listens nowhere. Give it a socket.`,
      );
    }
    for (const address of addresses) {
      const canonical = address.startsWith('fd://') ? address : parseEndpoint(address).url;
      if (wanted.has(canonical)) {
        throw new KmsPluginError(
          'invalid_options',
          `${canonical} is named twice. A socket belongs to one key set.`,
        );
      }
      wanted.set(canonical, keySet);
    }
  }
  return wanted;
}

/** An API server takes a changed version for a broken plugin, and a bound socket keeps its group. */
function checkUnchanged(listen: string, route: Route | undefined, keySet: KeySet): void {
  if (route === undefined) return;
  if (route.keySet.statusVersion !== keySet.statusVersion) {
    throw new KmsPluginError(
      'invalid_options',
      `statusVersion of ${listen} cannot change while an API server may be using it. Restart the plugin and the API server to change it.`,
    );
  }
  if (route.groupId !== keySet.options.socketGroupId) {
    throw new KmsPluginError(
      'invalid_options',
      `The group of ${listen} cannot change while it is in use. Restart the plugin to change it.`,
    );
  }
}

/** Whether kube-apiserver finds this socket; abstract names are filled up by older Node versions. */
export function isPortable(url: string): boolean {
  try {
    return parseEndpoint(url).portable;
  } catch (error) {
    // An inherited socket whose path the kernel does not tell.
    if (error instanceof KmsApiError) return true;
    throw error;
  }
}
