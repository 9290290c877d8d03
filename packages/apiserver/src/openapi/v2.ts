/**
 * OpenAPI 2: one document of everything, as JSON and as the protobuf kubectl asks for.
 *
 * Source of the rule: OpenAPI 2.0; k8s.io/kube-openapi `handler`; gnostic's `openapi.v2.Document`.
 */
import type { JsonObject } from '@waxseal/api-types';
import type { ResourceDefinition } from '../registry/resource.js';
import { encodeGnosticDocument } from './gnostic.js';
import { operationsOf, type Operation } from './operations.js';
import { openApi2, SchemaCollector } from './schemas.js';
import { bodySchema, groupVersionKind, responseSchema } from './types-of-operation.js';

const mediaTypes = ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf'];
const patchTypes = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
];

/** Both forms of the same document; made at once, so call it when the first client asks. */
export function openApiV2(resources: readonly ResourceDefinition[]): { json: Buffer; protobuf: Buffer } {
  const schemas = new SchemaCollector(openApi2);
  const paths: Record<string, JsonObject> = {};
  for (const operation of operationsOf(resources)) {
    (paths[operation.path] ??= {})[operation.method] = operationObject(schemas, operation);
  }
  const document: JsonObject = {
    swagger: '2.0',
    info: { title: 'Kubernetes', version: 'unversioned' },
    paths,
    definitions: schemas.definitions(),
  };
  return { json: Buffer.from(JSON.stringify(document)), protobuf: encodeGnosticDocument(document) };
}

function operationObject(schemas: SchemaCollector, operation: Operation): JsonObject {
  const body = bodySchema(schemas, operation);
  const parameters: JsonObject[] = operation.parameters.map((parameter) => ({
    name: parameter.name,
    in: parameter.in,
    type: parameter.type,
    uniqueItems: true,
    ...(parameter.in === 'path' ? { required: true } : {}),
  }));
  if (body !== undefined) {
    parameters.push({
      name: 'body',
      in: 'body',
      schema: body,
      ...(operation.body === 'delete-options' ? {} : { required: true }),
    });
  }
  return {
    operationId: operation.operationId,
    tags: [operation.path.split('/').slice(1, 4).join('_')],
    consumes: operation.body === 'patch' ? patchTypes : ['*/*'],
    produces: mediaTypes,
    parameters,
    responses: {
      '200': { description: 'OK', schema: responseSchema(schemas, operation) },
      '401': { description: 'Unauthorized' },
    },
    'x-kubernetes-action': operation.action,
    'x-kubernetes-group-version-kind': groupVersionKind(operation.kind),
  };
}
