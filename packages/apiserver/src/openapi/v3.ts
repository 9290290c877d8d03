/**
 * OpenAPI 3: an index, and one document a group version, as `/openapi/v3` serves them.
 *
 * Source of the rule: OpenAPI 3.0, k8s.io/kube-openapi `handler3`. Documents are made when first asked for and kept.
 */
import { createHash } from 'node:crypto';
import type { JsonObject } from '@waxseal/api-types';
import type { ResourceDefinition } from '../registry/resource.js';
import { groupVersionPath, operationsOf, type Operation } from './operations.js';
import { openApi3, SchemaCollector } from './schemas.js';
import { bodySchema, groupVersionKind, responseSchema } from './types-of-operation.js';

const responseTypes = ['application/json', 'application/yaml'];
const patchTypes = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
];

export interface OpenApiV3 {
  /** The body of `/openapi/v3`: where each document is, with the hash of what it says. */
  index(): JsonObject;
  /** @param groupVersionPath `api/v1` or `apis/<group>/<version>` */
  document(groupVersionPath: string): Buffer | undefined;
}

/** One per list of resources. */
export function openApiV3(resources: readonly ResourceDefinition[]): OpenApiV3 {
  const byPath = new Map<string, ResourceDefinition[]>();
  for (const resource of resources) {
    const path = groupVersionPath(resource);
    byPath.set(path, [...(byPath.get(path) ?? []), resource]);
  }
  const documents = new Map<string, Buffer>();
  const document = (path: string): Buffer | undefined => {
    const known = documents.get(path);
    const members = byPath.get(path);
    if (known !== undefined || members === undefined) return known;
    const made = Buffer.from(JSON.stringify(groupVersionDocument(members)));
    documents.set(path, made);
    return made;
  };
  return {
    index: () => {
      const paths: JsonObject = {};
      for (const path of byPath.keys()) {
        const hash = createHash('sha512')
          .update(document(path) ?? '')
          .digest('hex')
          .toUpperCase();
        paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` };
      }
      return { paths };
    },
    document,
  };
}

function groupVersionDocument(resources: readonly ResourceDefinition[]): JsonObject {
  const schemas = new SchemaCollector(openApi3);
  const paths: Record<string, JsonObject> = {};
  for (const operation of operationsOf(resources)) {
    (paths[operation.path] ??= {})[operation.method] = operationObject(schemas, operation);
  }
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: 'unversioned' },
    paths,
    components: { schemas: schemas.definitions() },
  };
}

function operationObject(schemas: SchemaCollector, operation: Operation): JsonObject {
  const answer = responseSchema(schemas, operation);
  const content = Object.fromEntries(responseTypes.map((type) => [type, { schema: answer }]));
  const body = bodySchema(schemas, operation);
  return {
    operationId: operation.operationId,
    tags: [operation.path.split('/').slice(1, 4).join('_')],
    parameters: operation.parameters.map((parameter) => ({
      name: parameter.name,
      in: parameter.in,
      ...(parameter.in === 'path' ? { required: true } : {}),
      schema: { type: parameter.type, uniqueItems: true },
    })),
    ...(body === undefined ? {} : { requestBody: requestBody(operation, body) }),
    responses: { '200': { description: 'OK', content }, '401': { description: 'Unauthorized' } },
    'x-kubernetes-action': operation.action,
    'x-kubernetes-group-version-kind': groupVersionKind(operation.kind),
  };
}

function requestBody(operation: Operation, schema: JsonObject): JsonObject {
  const types = operation.body === 'patch' ? patchTypes : ['*/*'];
  return {
    ...(operation.body === 'delete-options' ? {} : { required: true }),
    content: Object.fromEntries(types.map((type) => [type, { schema }])),
  };
}
