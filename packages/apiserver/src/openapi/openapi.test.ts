/**
 * Goal: kubectl finds kinds, patch rules and query parameters. Method: both documents of a few resources, every
 * reference followed, the protobuf read back field by field.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WireReader, wireBytes, type JsonValue } from '@waxseal/api-types';
import type { ResourceDefinition } from '../registry/resource.js';
import { openApiV2 } from './v2.js';
import { openApiV3 } from './v3.js';

function resource(
  group: string,
  kind: string,
  name: string,
  special: Partial<ResourceDefinition> = {},
): ResourceDefinition {
  return {
    group,
    version: 'v1',
    kind,
    listKind: `${kind}List`,
    resource: name,
    singular: kind.toLowerCase(),
    shortNames: [],
    categories: [],
    namespaced: true,
    verbs: ['create', 'get', 'list', 'watch', 'update', 'patch', 'delete', 'deletecollection'],
    storagePrefix: `/registry/${name}`,
    subresources: [],
    ...special,
  };
}

const resources: readonly ResourceDefinition[] = [
  resource('', 'Secret', 'secrets'),
  resource('', 'Namespace', 'namespaces', {
    namespaced: false,
    subresources: [{ name: 'finalize', kind: 'Namespace', verbs: ['update'] }],
  }),
  resource('', 'ServiceAccount', 'serviceaccounts', {
    subresources: [
      {
        name: 'token',
        kind: 'TokenRequest',
        group: 'authentication.k8s.io',
        version: 'v1',
        verbs: ['create'],
      },
    ],
  }),
  resource('apps', 'Deployment', 'deployments'),
  resource('example.com', 'Widget', 'widgets'),
];

interface Document {
  paths: Record<string, Record<string, { parameters: { name: string }[]; [field: string]: unknown }>>;
  definitions?: Record<string, Record<string, JsonValue>>;
  components?: { schemas: Record<string, Record<string, JsonValue>> };
}

function v3Document(path: string): Document {
  const bytes = openApiV3(resources).document(path);
  assert.ok(bytes);
  return JSON.parse(bytes.toString('utf8')) as Document;
}

function references(value: unknown, found: string[] = []): string[] {
  for (const [key, child] of Object.entries(value ?? {})) {
    if (key === '$ref') found.push(String(child));
    else if (typeof child === 'object') references(child, found);
  }
  return found;
}

describe('OpenAPI 3', () => {
  it('indexes one document a group version, by hash', () => {
    const { paths } = openApiV3(resources).index() as {
      paths: Record<string, { serverRelativeURL: string }>;
    };
    assert.deepEqual(Object.keys(paths), ['api/v1', 'apis/apps/v1', 'apis/example.com/v1']);
    assert.match(paths['api/v1']?.serverRelativeURL ?? '', /^\/openapi\/v3\/api\/v1\?hash=[0-9A-F]{128}$/);
    assert.equal(openApiV3(resources).document('apis/nope/v1'), undefined);
  });

  it('makes each document once', () => {
    const api = openApiV3(resources);
    assert.equal(api.document('api/v1'), api.document('api/v1'));
  });

  it('refers only to what it defines', () => {
    for (const path of ['api/v1', 'apis/apps/v1', 'apis/example.com/v1']) {
      const document = v3Document(path);
      const schemas = document.components?.schemas ?? {};
      for (const reference of references(document)) {
        assert.ok(Object.hasOwn(schemas, reference.replace('#/components/schemas/', '')), reference);
      }
    }
  });

  it('carries kinds, patch rules, required fields and formats', () => {
    const schemas = v3Document('apis/apps/v1').components?.schemas ?? {};
    assert.deepEqual(schemas['io.k8s.api.apps.v1.Deployment']?.['x-kubernetes-group-version-kind'], [
      { group: 'apps', kind: 'Deployment', version: 'v1' },
    ]);
    const podSpec = schemas['io.k8s.api.core.v1.PodSpec'] ?? {};
    assert.deepEqual(podSpec['required'], ['containers']);
    const properties = podSpec['properties'] as Record<string, Record<string, JsonValue>>;
    assert.deepEqual(properties['volumes'], {
      type: 'array',
      items: { allOf: [{ $ref: '#/components/schemas/io.k8s.api.core.v1.Volume' }] },
      'x-kubernetes-list-map-keys': ['name'],
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-patch-merge-key': 'name',
      'x-kubernetes-patch-strategy': 'merge,retainKeys',
    });
    const volume = schemas['io.k8s.api.core.v1.Volume']?.['properties'] as Record<string, unknown>;
    assert.ok('emptyDir' in volume && !('volumeSource' in volume));
  });

  it('shows the parameters kubectl looks for on every patch', () => {
    const { paths } = v3Document('api/v1');
    const patch = paths['/api/v1/namespaces/{namespace}/secrets/{name}']?.['patch'];
    assert.deepEqual(patch?.['x-kubernetes-group-version-kind'], {
      group: '',
      kind: 'Secret',
      version: 'v1',
    });
    assert.equal(patch?.['x-kubernetes-action'], 'patch');
    const names = patch?.parameters.map(({ name }) => name) ?? [];
    for (const name of ['dryRun', 'fieldManager', 'fieldValidation']) assert.ok(names.includes(name), name);
  });

  it('lists subresources, and namespaced lists twice', () => {
    const { paths } = v3Document('api/v1');
    assert.ok(paths['/api/v1/secrets']?.['get']);
    assert.ok(paths['/api/v1/namespaces/{name}/finalize']?.['put']);
    const token = paths['/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token']?.['post'];
    assert.deepEqual(token?.['x-kubernetes-group-version-kind'], {
      group: 'authentication.k8s.io',
      kind: 'TokenRequest',
      version: 'v1',
    });
  });

  it('gives every operation an id of its own', () => {
    const ids = Object.values(v3Document('api/v1').paths).flatMap((path) =>
      Object.values(path).map((operation) => operation['operationId']),
    );
    assert.equal(new Set(ids).size, ids.length);
  });
});

/** Length-delimited fields of a protobuf message, by number. */
function fieldsOf(bytes: Buffer): Map<number, Buffer[]> {
  const reader = new WireReader(bytes);
  const fields = new Map<number, Buffer[]>();
  while (reader.position < reader.end) {
    const tag = reader.tag();
    if ((tag & 7) === wireBytes) fields.set(tag >>> 3, [...(fields.get(tag >>> 3) ?? []), reader.slice()]);
    else reader.skip(tag & 7);
  }
  return fields;
}

function only(fields: Map<number, Buffer[]>, number: number): Buffer {
  const values = fields.get(number) ?? [];
  assert.equal(values.length, 1, `field ${number}`);
  return values[0] ?? Buffer.alloc(0);
}

describe('OpenAPI 2', () => {
  const { json, protobuf } = openApiV2(resources);
  const document = JSON.parse(json.toString('utf8')) as Document;

  it('refers only to what it defines', () => {
    for (const reference of references(document)) {
      assert.ok(
        Object.hasOwn(document.definitions ?? {}, reference.replace('#/definitions/', '')),
        reference,
      );
    }
  });

  it('holds every path and definition in protobuf, in the same order', () => {
    const top = fieldsOf(protobuf);
    assert.equal(only(top, 1).toString(), '2.0');
    const paths = fieldsOf(only(top, 8)).get(2) ?? [];
    assert.deepEqual(
      paths.map((path) => only(fieldsOf(path), 1).toString()),
      Object.keys(document.paths),
    );
    const definitions = fieldsOf(only(top, 9)).get(1) ?? [];
    assert.deepEqual(
      definitions.map((definition) => only(fieldsOf(definition), 1).toString()),
      Object.keys(document.definitions ?? {}),
    );
  });

  it('writes extensions as YAML, which JSON is', () => {
    const definitions = fieldsOf(only(fieldsOf(protobuf), 9)).get(1) ?? [];
    const secret = definitions
      .map(fieldsOf)
      .find((fields) => only(fields, 1).toString() === 'io.k8s.api.core.v1.Secret');
    assert.ok(secret);
    const extension = fieldsOf(only(fieldsOf(only(secret, 2)), 31));
    assert.equal(only(extension, 1).toString(), 'x-kubernetes-group-version-kind');
    assert.equal(
      only(fieldsOf(only(extension, 2)), 2).toString(),
      '[{"group":"","kind":"Secret","version":"v1"}]',
    );
  });
});
