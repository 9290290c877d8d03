/** The schemas an operation takes and answers with. */
import type { JsonObject } from '../object.js';
import { findType } from '../schema/types.js';
import type { Kind, Operation } from './operations.js';
import type { SchemaCollector } from './schemas.js';

/** Published as kube-openapi publishes custom kinds: the group reversed. */
function untypedDefinition({ group, version, kind }: Kind): string {
  return [...group.split('.').reverse(), version, kind].filter((part) => part !== '').join('.');
}

function refToKind(schemas: SchemaCollector, kind: Kind): JsonObject {
  const type = findType(kind.group, kind.version, kind.kind);
  if (type !== undefined) return schemas.refTo(type);
  return schemas.refToUntyped(untypedDefinition(kind), groupVersionKind(kind));
}

export function groupVersionKind({ group, version, kind }: Kind): JsonObject {
  return { group, kind, version };
}

export function bodySchema(schemas: SchemaCollector, operation: Operation): JsonObject | undefined {
  switch (operation.body) {
    case 'none':
      return undefined;
    case 'object':
      return refToKind(schemas, operation.kind);
    case 'patch':
      return schemas.refToPatch();
    case 'delete-options':
      return refToKind(schemas, { group: '', version: 'v1', kind: 'DeleteOptions' });
  }
}

export function responseSchema(schemas: SchemaCollector, operation: Operation): JsonObject {
  switch (operation.response) {
    case 'object':
      return refToKind(schemas, operation.kind);
    case 'list':
      return refToKind(schemas, { ...operation.kind, kind: operation.resource.listKind });
    case 'status':
      return refToKind(schemas, { group: '', version: 'v1', kind: 'Status' });
  }
}
