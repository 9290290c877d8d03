/**
 * What `kubectl get` shows: the columns of a resource, and the row of an object.
 *
 * The server makes the cells, so that every client shows the same; names and order are those of kube-apiserver's
 * printers. Wide columns have priority 1.
 */
import { isJsonObject, type JsonObject, type JsonValue, type KubeObject } from '@waxseal/api-types';
import type { ResourceDefinition, TableColumn } from '../registry/resource.js';
import { humanDuration } from './human-duration.js';

interface Printer {
  readonly columns: readonly TableColumn[];
  /** One cell a column. */
  cells(object: KubeObject, now: Date): JsonValue[];
}

function column(name: string, type: TableColumn['type'], description: string, priority = 0): TableColumn {
  return { name, type, description, priority };
}

const nameColumn: TableColumn = {
  name: 'Name',
  type: 'string',
  format: 'name',
  description: 'Unique within its namespace, or within the cluster.',
  priority: 0,
};
const ageColumn = column('Age', 'string', 'Time since the object was created.');
const createdColumn = column('Created At', 'date', 'When the object was created, in UTC.');

function field(value: unknown, ...path: string[]): JsonValue | undefined {
  let current: unknown = value;
  for (const name of path) {
    if (!isJsonObject(current) || !Object.hasOwn(current, name)) return undefined;
    current = current[name];
  }
  return current as JsonValue | undefined;
}

function text(value: unknown, ...path: string[]): string {
  const found = field(value, ...path);
  return typeof found === 'string' ? found : '';
}

function count(value: unknown, ...path: string[]): number {
  const found = field(value, ...path);
  if (Array.isArray(found)) return found.length;
  return isJsonObject(found) ? Object.keys(found).length : 0;
}

function objects(value: unknown, ...path: string[]): JsonObject[] {
  const found = field(value, ...path);
  return Array.isArray(found) ? found.filter(isJsonObject) : [];
}

function since(timestamp: string, now: Date): string {
  const time = Date.parse(timestamp);
  return Number.isNaN(time) ? '<unknown>' : humanDuration(now.getTime() - time);
}

function age(object: KubeObject, now: Date): string {
  return since(object.metadata.creationTimestamp ?? '', now);
}

function name(object: KubeObject): string {
  return object.metadata.name ?? '';
}

const byDefault: Printer = {
  columns: [nameColumn, ageColumn],
  cells: (object, now) => [name(object), age(object, now)],
};

const secrets: Printer = {
  columns: [
    nameColumn,
    column('Type', 'string', 'What the data is for; decides which keys must be there.'),
    column('Data', 'integer', 'How many keys the secret holds.'),
    ageColumn,
  ],
  cells: (object, now) => [name(object), text(object, 'type'), count(object, 'data'), age(object, now)],
};

const configMaps: Printer = {
  columns: [
    nameColumn,
    column('Data', 'integer', 'How many keys the config map holds, text and binary.'),
    ageColumn,
  ],
  cells: (object, now) => [
    name(object),
    count(object, 'data') + count(object, 'binaryData'),
    age(object, now),
  ],
};

const namespaces: Printer = {
  columns: [
    nameColumn,
    column('Status', 'string', 'Active, or Terminating while its objects are deleted.'),
    ageColumn,
  ],
  cells: (object, now) => [name(object), text(object, 'status', 'phase'), age(object, now)],
};

const serviceAccounts: Printer = {
  columns: [
    nameColumn,
    column('Secrets', 'integer', 'How many secrets pods of this account may use.'),
    ageColumn,
  ],
  cells: (object, now) => [name(object), count(object, 'secrets'), age(object, now)],
};

/** Roles have no printer of their own in kube-apiserver: clients know the older generic columns. */
const roles: Printer = {
  columns: [nameColumn, createdColumn],
  cells: (object) => [name(object), object.metadata.creationTimestamp ?? null],
};

const leases: Printer = {
  columns: [nameColumn, column('Holder', 'string', 'Who holds the lease now.'), ageColumn],
  cells: (object, now) => [name(object), text(object, 'spec', 'holderIdentity'), age(object, now)],
};

function subjects(object: KubeObject, kind: string): string {
  const named = objects(object, 'subjects').filter((subject) => text(subject, 'kind') === kind);
  return named
    .map((subject) =>
      kind === 'ServiceAccount'
        ? `${text(subject, 'namespace')}/${text(subject, 'name')}`
        : text(subject, 'name'),
    )
    .join(', ');
}

const bindings: Printer = {
  columns: [
    nameColumn,
    column('Role', 'string', 'Kind and name of the role that is granted.'),
    ageColumn,
    column('Users', 'string', 'Users it is granted to.', 1),
    column('Groups', 'string', 'Groups it is granted to.', 1),
    column('ServiceAccounts', 'string', 'Service accounts it is granted to, with their namespaces.', 1),
  ],
  cells: (object, now) => [
    name(object),
    `${text(object, 'roleRef', 'kind')}/${text(object, 'roleRef', 'name')}`,
    age(object, now),
    subjects(object, 'User'),
    subjects(object, 'Group'),
    subjects(object, 'ServiceAccount'),
  ],
};

const events: Printer = {
  columns: [
    column('Last Seen', 'string', 'Time since it happened last.'),
    column('Type', 'string', 'Normal or Warning.'),
    column('Reason', 'string', 'One word for programs.'),
    column('Object', 'string', 'What it happened to.'),
    column('Subobject', 'string', 'The part it happened to.', 1),
    column('Source', 'string', 'Who reported it.', 1),
    column('Message', 'string', 'A sentence for people.'),
    column('First Seen', 'string', 'Time since it happened first.', 1),
    column('Count', 'integer', 'How often it happened.', 1),
    { ...nameColumn, priority: 1 },
  ],
  cells: eventCells,
};

/** Both shapes: core/v1 `involvedObject`, `source`, `message`; events.k8s.io/v1 `regarding`, `deprecated…`, `note`. */
function eventCells(event: KubeObject, now: Date): JsonValue[] {
  const first =
    text(event, 'firstTimestamp') || text(event, 'deprecatedFirstTimestamp') || text(event, 'eventTime');
  const last =
    text(event, 'series', 'lastObservedTime') ||
    text(event, 'lastTimestamp') ||
    text(event, 'deprecatedLastTimestamp');
  const times = field(event, 'series', 'count') ?? field(event, 'count') ?? field(event, 'deprecatedCount');
  const target = field(event, 'involvedObject') ?? field(event, 'regarding');
  const kind = text(target, 'kind').toLowerCase();
  const source = field(event, 'source') ?? field(event, 'deprecatedSource');
  const component =
    text(source, 'component') || text(event, 'reportingComponent') || text(event, 'reportingController');
  const host = text(source, 'host');
  return [
    since(last || first, now),
    text(event, 'type'),
    text(event, 'reason'),
    text(target, 'name') === '' ? kind : `${kind}/${text(target, 'name')}`,
    text(target, 'fieldPath'),
    host === '' ? component : `${component}, ${host}`,
    (text(event, 'message') || text(event, 'note')).trim(),
    since(first, now),
    typeof times === 'number' && times > 0 ? times : 1,
    name(event),
  ];
}

const rbacGroup = 'rbac.authorization.k8s.io';
const printers: ReadonlyMap<string, Printer> = new Map([
  ['/secrets', secrets],
  ['/configmaps', configMaps],
  ['/namespaces', namespaces],
  ['/serviceaccounts', serviceAccounts],
  ['/events', events],
  ['events.k8s.io/events', events],
  ['coordination.k8s.io/leases', leases],
  [`${rbacGroup}/roles`, roles],
  [`${rbacGroup}/clusterroles`, roles],
  [`${rbacGroup}/rolebindings`, bindings],
  [`${rbacGroup}/clusterrolebindings`, bindings],
]);

function printerOf(resource: ResourceDefinition): Printer {
  return printers.get(`${resource.group}/${resource.resource}`) ?? byDefault;
}

export function tableColumns(resource: ResourceDefinition): readonly TableColumn[] {
  return printerOf(resource).columns;
}

/** @returns as many cells as there are columns, in their order */
export function tableRow(
  resource: ResourceDefinition,
  object: KubeObject,
  now: Date,
): { cells: JsonValue[] } {
  return { cells: printerOf(resource).cells(object, now) };
}
