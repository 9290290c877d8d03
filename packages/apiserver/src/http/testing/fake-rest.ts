/**
 * A RestHandler over a Map, for tests of everything above it: enough verbs to see what HTTP asked, no rules of its
 * own.
 */
import type { KubeObject } from '@waxseal/api-types';
import { ApiError } from '../../errors.js';
import type { ResourceDefinition } from '../../registry/resource.js';
import type {
  RestHandler,
  RestRequest,
  RestResponse,
  RestWatchSink,
  WatchRequest,
} from '../../rest/contract.js';
import { notFound } from '../../rest/status-errors.js';

const ALL = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'] as const;

const fakeResources: readonly ResourceDefinition[] = [
  {
    group: '',
    version: 'v1',
    kind: 'Namespace',
    listKind: 'NamespaceList',
    resource: 'namespaces',
    singular: 'namespace',
    shortNames: ['ns'],
    categories: [],
    namespaced: false,
    verbs: ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'],
    storagePrefix: '/registry/namespaces',
    subresources: [{ name: 'status', kind: 'Namespace', verbs: ['get', 'patch', 'update'] }],
  },
  {
    group: '',
    version: 'v1',
    kind: 'Secret',
    listKind: 'SecretList',
    resource: 'secrets',
    singular: 'secret',
    shortNames: [],
    categories: [],
    namespaced: true,
    verbs: ALL,
    storagePrefix: '/registry/secrets',
    subresources: [],
  },
  {
    group: '',
    version: 'v1',
    kind: 'ServiceAccount',
    listKind: 'ServiceAccountList',
    resource: 'serviceaccounts',
    singular: 'serviceaccount',
    shortNames: ['sa'],
    categories: [],
    namespaced: true,
    verbs: ALL,
    storagePrefix: '/registry/serviceaccounts',
    subresources: [
      {
        name: 'token',
        group: 'authentication.k8s.io',
        version: 'v1',
        kind: 'TokenRequest',
        verbs: ['create'],
      },
    ],
  },
  {
    group: 'rbac.authorization.k8s.io',
    version: 'v1',
    kind: 'Role',
    listKind: 'RoleList',
    resource: 'roles',
    singular: 'role',
    shortNames: [],
    categories: [],
    namespaced: true,
    verbs: ALL,
    storagePrefix: '/registry/roles',
    subresources: [],
  },
];

export interface FakeRest extends RestHandler {
  /** Every request handled, oldest first. */
  readonly requests: readonly RestRequest[];
  /** Objects by `resource/namespace/name`. */
  readonly objects: Map<string, KubeObject>;
  /** Sinks of the watches that run. */
  readonly sinks: ReadonlySet<RestWatchSink>;
  /** Answers the next requests instead of the Map while set. */
  override: ((request: RestRequest) => Promise<RestResponse>) | undefined;
}

function bytes(object: unknown): Buffer {
  return Buffer.from(JSON.stringify(object));
}

export function createFakeRest(): FakeRest {
  const requests: RestRequest[] = [];
  const objects = new Map<string, KubeObject>();
  const sinks = new Set<RestWatchSink>();

  function key(request: RestRequest, name: string): string {
    return `${request.resource.resource}/${request.namespace}/${name}`;
  }

  function found(request: RestRequest, name: string): KubeObject {
    const object = objects.get(key(request, name));
    if (object === undefined) throw notFound(request.resource, name);
    return object;
  }

  function watch(_request: WatchRequest): RestResponse {
    return {
      kind: 'watch',
      start(sink) {
        sinks.add(sink);
        return () => sinks.delete(sink);
      },
    };
  }

  function answer(request: RestRequest): RestResponse {
    switch (request.verb) {
      case 'create':
      case 'update': {
        const name = request.object.metadata.name ?? request.name ?? '';
        objects.set(key(request, name), request.object);
        const code = request.verb === 'create' ? 201 : 200;
        return { kind: 'object', code, object: bytes(request.object), warnings: [] };
      }
      case 'get':
        return { kind: 'object', code: 200, object: bytes(found(request, request.name)), warnings: [] };
      case 'patch':
        return {
          kind: 'object',
          code: 200,
          object: bytes(found(request, request.name)),
          warnings: ['patched'],
        };
      case 'list': {
        const prefix = request.namespace === '' ? `${request.resource.resource}/` : key(request, '');
        const items = [...objects].filter(([at]) => at.startsWith(prefix)).map(([, object]) => bytes(object));
        return { kind: 'list', resource: request.resource, resourceVersion: '7', continue: '', items };
      }
      case 'watch':
        return watch(request);
      case 'delete':
      case 'deletecollection':
        return {
          kind: 'status',
          status: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' },
        };
      default:
        throw new ApiError(500, 'InternalError', 'no such verb');
    }
  }

  const rest: FakeRest = {
    resources: fakeResources,
    requests,
    objects,
    sinks,
    override: undefined,
    async handle(request) {
      requests.push(request);
      return rest.override === undefined ? answer(request) : rest.override(request);
    },
  };
  return rest;
}
