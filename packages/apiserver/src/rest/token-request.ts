/**
 * `serviceaccounts/token`: a signed token for a service account, never stored.
 *
 * Source of the rule: kube-apiserver's TokenREST and the validation of authentication.k8s.io/v1 TokenRequest.
 */
import type { KubeObject } from '@waxseal/api-types';
import type { StoredResource } from '../objects/storage-key.js';
import { invalidValue, notSupported, tooLong, type FieldError } from '../registry/validation/field-error.js';
import { badRequest, conflict, invalid, methodNotSupported, notFound } from './status-errors.js';
import type { RestContext, StoredEntry } from './context.js';
import type { CreateRequest, RestResponse } from './contract.js';
import { dropNulls } from './drop-nulls.js';
import { decode } from './get.js';
import { timestamp } from './system-fields.js';

const DEFAULT_SECONDS = 3600;
const MIN_SECONDS = 600;
const MAX_SECONDS = 2 ** 32;
const KIND = { group: 'authentication.k8s.io', kind: 'TokenRequest' };

interface BoundReference {
  readonly kind?: string;
  readonly apiVersion?: string;
  readonly name?: string;
  readonly uid?: string;
}

interface TokenRequestSpec {
  readonly audiences?: readonly string[] | undefined;
  readonly expirationSeconds?: number | undefined;
  readonly boundObjectRef?: BoundReference | undefined;
}

export async function requestToken(
  context: RestContext,
  entry: StoredEntry,
  secrets: StoredEntry,
  request: CreateRequest,
): Promise<RestResponse> {
  const tokens = context.auth.serviceAccountTokens;
  if (tokens === undefined) {
    throw methodNotSupported({ group: '', resource: 'serviceaccounts/token' }, 'create');
  }
  const { namespace, name = '' } = request;
  const object = dropNulls(request.object);
  checkIdentity(object, namespace, name);
  const spec = (object['spec'] ?? {}) as TokenRequestSpec;
  const expirationSeconds = spec.expirationSeconds ?? DEFAULT_SECONDS;
  const errors = validate(expirationSeconds, spec);
  if (errors.length > 0) throw invalid(KIND, '', errors);

  const { uid = '' } = (await read(context, entry, namespace, name)).metadata;
  const reference = spec.boundObjectRef;
  const audiences = spec.audiences ?? [];
  const issued = await tokens.sign({
    namespace,
    name,
    uid,
    audiences,
    expirationSeconds,
    ...(reference === undefined
      ? {}
      : { boundObject: await boundSecret(context, secrets.definition, secrets, namespace, reference) }),
  });
  const answer = {
    ...object,
    metadata: { name, namespace, creationTimestamp: timestamp(context.now()) },
    spec: {
      audiences: audiences.length === 0 ? tokens.audiences : audiences,
      expirationSeconds,
      ...(reference === undefined ? {} : { boundObjectRef: reference }),
    },
    status: { token: issued.token, expirationTimestamp: timestamp(issued.expires) },
  };
  return { kind: 'object', code: 201, object: Buffer.from(JSON.stringify(answer)), warnings: [] };
}

function checkIdentity(object: KubeObject, namespace: string, name: string): void {
  const { name: bodyName = '', namespace: bodyNamespace = '' } = object.metadata;
  if (bodyName !== '' && bodyName !== name) {
    throw badRequest(`the name of the object (${bodyName}) does not match the name on the URL (${name})`);
  }
  if (bodyNamespace !== '' && bodyNamespace !== namespace) {
    throw badRequest(`the namespace of the provided object does not match the namespace sent on the request`);
  }
}

function validate(expirationSeconds: number, spec: TokenRequestSpec): FieldError[] {
  const errors: FieldError[] = [];
  const field = 'spec.expirationSeconds';
  if (expirationSeconds < MIN_SECONDS) {
    errors.push(invalidValue(field, expirationSeconds, 'may not specify a duration less than 10 minutes'));
  }
  if (expirationSeconds > MAX_SECONDS) errors.push(tooLong(field, MAX_SECONDS));
  const kind = spec.boundObjectRef?.kind;
  // Pods and nodes are not served here, so nothing can be bound to them.
  if (spec.boundObjectRef !== undefined && kind !== 'Secret') {
    errors.push(notSupported('spec.boundObjectRef.kind', kind ?? '', ['Secret']));
  }
  return errors;
}

async function boundSecret(
  context: RestContext,
  definition: StoredResource,
  secrets: StoredEntry,
  namespace: string,
  reference: BoundReference,
): Promise<{ readonly kind: 'Secret'; readonly name: string; readonly uid: string }> {
  const { name = '' } = reference;
  const { uid = '' } = (await read(context, secrets, namespace, name)).metadata;
  if (reference.uid !== undefined && reference.uid !== '' && reference.uid !== uid) {
    throw conflict(
      definition,
      name,
      `the UID in the bound object reference (${reference.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  }
  return { kind: 'Secret', name, uid };
}

async function read(
  context: RestContext,
  entry: StoredEntry,
  namespace: string,
  name: string,
): Promise<KubeObject> {
  const { object } = await context.objects.get({ resource: entry.definition, namespace, name });
  if (object === undefined) throw notFound(entry.definition, name);
  return decode(entry, object);
}
