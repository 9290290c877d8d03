/**
 * The operations of a resource, as both OpenAPI versions list them: path, verb, parameters, bodies.
 *
 * kubectl looks here before it asks for server-side validation or a dry run: the patch operation of a kind must carry
 * `fieldValidation` and `dryRun`. Names and extensions are those of k8s.io/apiserver `endpoints/installer.go`.
 */
import type { ResourceDefinition, SubresourceDefinition, Verb } from '../registry/resource.js';

type HttpMethod = 'get' | 'put' | 'post' | 'delete' | 'patch';

interface Parameter {
  readonly name: string;
  readonly in: 'query' | 'path';
  readonly type: 'string' | 'boolean' | 'integer';
}

export interface Kind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

export interface Operation {
  readonly path: string;
  readonly method: HttpMethod;
  readonly operationId: string;
  /** `x-kubernetes-action`. */
  readonly action: string;
  readonly kind: Kind;
  readonly parameters: readonly Parameter[];
  readonly body: 'none' | 'object' | 'patch' | 'delete-options';
  readonly response: 'object' | 'list' | 'status';
  readonly resource: ResourceDefinition;
}

function query(name: string, type: Parameter['type'] = 'string'): Parameter {
  return { name, in: 'query', type };
}

const pretty = query('pretty');
const write = [pretty, query('dryRun'), query('fieldManager'), query('fieldValidation')];
const list = [
  pretty,
  query('allowWatchBookmarks', 'boolean'),
  query('continue'),
  query('fieldSelector'),
  query('labelSelector'),
  query('limit', 'integer'),
  query('resourceVersion'),
  query('resourceVersionMatch'),
  query('sendInitialEvents', 'boolean'),
  query('timeoutSeconds', 'integer'),
  query('watch', 'boolean'),
];
const remove = [
  pretty,
  query('dryRun'),
  query('gracePeriodSeconds', 'integer'),
  query('orphanDependents', 'boolean'),
  query('propagationPolicy'),
];
const namespacePath: Parameter = { name: 'namespace', in: 'path', type: 'string' };
const namePath: Parameter = { name: 'name', in: 'path', type: 'string' };

interface VerbShape {
  readonly method: HttpMethod;
  readonly action: string;
  /** First word of the operation id. */
  readonly word: string;
  readonly onCollection: boolean;
  readonly parameters: readonly Parameter[];
  readonly body: Operation['body'];
  readonly response: Operation['response'];
}

/** A watch is a list with a parameter, so it has no operation of its own. */
const shapes: Readonly<Record<Exclude<Verb, 'watch'>, VerbShape>> = {
  list: {
    method: 'get',
    action: 'list',
    word: 'list',
    onCollection: true,
    parameters: list,
    body: 'none',
    response: 'list',
  },
  create: {
    method: 'post',
    action: 'post',
    word: 'create',
    onCollection: true,
    parameters: write,
    body: 'object',
    response: 'object',
  },
  deletecollection: {
    method: 'delete',
    action: 'deletecollection',
    word: 'deleteCollection',
    onCollection: true,
    parameters: [...list, ...remove.slice(1)],
    body: 'delete-options',
    response: 'status',
  },
  get: {
    method: 'get',
    action: 'get',
    word: 'read',
    onCollection: false,
    parameters: [pretty],
    body: 'none',
    response: 'object',
  },
  update: {
    method: 'put',
    action: 'put',
    word: 'replace',
    onCollection: false,
    parameters: write,
    body: 'object',
    response: 'object',
  },
  patch: {
    method: 'patch',
    action: 'patch',
    word: 'patch',
    onCollection: false,
    parameters: [...write, query('force', 'boolean')],
    body: 'patch',
    response: 'object',
  },
  delete: {
    method: 'delete',
    action: 'delete',
    word: 'delete',
    onCollection: false,
    parameters: remove,
    body: 'delete-options',
    response: 'status',
  },
};

/** `api/v1` or `apis/<group>/<version>`. */
export function groupVersionPath({ group, version }: { group: string; version: string }): string {
  return group === '' ? `api/${version}` : `apis/${group}/${version}`;
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** `CoreV1`, `RbacAuthorizationV1`. */
function groupVersionWord({ group, version }: ResourceDefinition): string {
  const words = group === '' ? ['core'] : group.replace(/\.k8s\.io$/, '').split('.');
  return words.map(capitalised).join('') + capitalised(version);
}

function collectionPath(resource: ResourceDefinition): string {
  const scope = resource.namespaced ? '/namespaces/{namespace}' : '';
  return `/${groupVersionPath(resource)}${scope}/${resource.resource}`;
}

function operation(
  resource: ResourceDefinition,
  verb: Exclude<Verb, 'watch'>,
  subresource?: SubresourceDefinition,
): Operation {
  const shape = shapes[verb];
  const suffix = subresource === undefined ? '' : `/${subresource.name}`;
  // A subresource that is created is posted to below an object.
  const named = !shape.onCollection || subresource !== undefined;
  const scopeWord = resource.namespaced ? 'Namespaced' : '';
  const kindWord = subresource === undefined ? resource.kind : resource.kind + capitalised(subresource.name);
  return {
    path: named ? `${collectionPath(resource)}/{name}${suffix}` : collectionPath(resource),
    method: shape.method,
    operationId: `${shape.word}${groupVersionWord(resource)}${scopeWord}${kindWord}`,
    action: shape.action,
    kind:
      subresource === undefined
        ? resource
        : {
            group: subresource.group ?? resource.group,
            version: subresource.version ?? resource.version,
            kind: subresource.kind,
          },
    parameters: [
      ...(named ? [namePath] : []),
      ...(resource.namespaced ? [namespacePath] : []),
      ...shape.parameters,
    ],
    body: shape.body,
    response: shape.response,
    resource,
  };
}

function acrossNamespaces(resource: ResourceDefinition): Operation {
  return {
    ...operation(resource, 'list'),
    path: `/${groupVersionPath(resource)}/${resource.resource}`,
    operationId: `list${groupVersionWord(resource)}${resource.kind}ForAllNamespaces`,
    parameters: list,
  };
}

/** In the order of the resources. */
export function operationsOf(resources: readonly ResourceDefinition[]): readonly Operation[] {
  const isListed = (verb: Verb): verb is Exclude<Verb, 'watch'> => verb !== 'watch';
  return resources.flatMap((resource) => [
    ...resource.verbs.filter(isListed).map((verb) => operation(resource, verb)),
    ...(resource.namespaced && resource.verbs.includes('list') ? [acrossNamespaces(resource)] : []),
    ...resource.subresources.flatMap((sub) =>
      sub.verbs.filter(isListed).map((verb) => operation(resource, verb, sub)),
    ),
  ]);
}
