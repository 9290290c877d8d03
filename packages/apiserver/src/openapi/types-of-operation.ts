/** The schemas an operation takes and answers with. */
import { findType, type JsonObject } from '@waxseal/api-types';
import type { Kind, Operation } from './operations.js';
import type { SchemaCollector } from './schemas.js';

/** Published as kube-openapi publishes custom kinds: the group reversed. */
function untypedDefinition({ group, version, kind }: Kind): string {
  return [...group.split('.').toReversed(), version, kind].filter((part) => part !== '').join('.');
}

function refToKind(schemas: SchemaCollector, kind: Kind): JsonObject {
  const type = findType(kind.group, kind.version, kind.kind);
  if (type !== undefined) return schemas.refTo(type);
  return schemas.refToUntyped(untypedDefinition(kind), groupVersionKind(kind));
}

export function groupVersionKind({ group, version, kind }: Kind): JsonObject {
  return { group, kind, version };
}

const deleteOptions: Kind = { group: '', version: 'v1', kind: 'DeleteOptions' };
const status: Kind = { group: '', version: 'v1', kind: 'Status' };

export function bodySchema(schemas: SchemaCollector, operation: Operation): JsonObject | undefined {
  if (operation.body === 'none') return undefined;
  if (operation.body === 'patch') return schemas.refToPatch();
  return refToKind(schemas, operation.body === 'object' ? operation.kind : deleteOptions);
}

export function responseSchema(schemas: SchemaCollector, operation: Operation): JsonObject {
  if (operation.response === 'status') return refToKind(schemas, status);
  const kind = operation.response === 'list' ? operation.resource.listKind : operation.kind.kind;
  return refToKind(schemas, { ...operation.kind, kind });
}
