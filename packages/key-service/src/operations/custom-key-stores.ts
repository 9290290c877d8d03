/**
 * CreateCustomKeyStore, DescribeCustomKeyStores, UpdateCustomKeyStore, DeleteCustomKeyStore, ConnectCustomKeyStore,
 * DisconnectCustomKeyStore.
 *
 * Source of the rule: KMS API reference, these operations and CustomKeyStoreInvalidStateException. Where AWS has a CloudHSM cluster, there
 * is a PKCS#11 token here, which the configuration file names (custom-key-stores/token-config.ts).
 */
import { X509Certificate } from 'node:crypto';
import { AwsError } from '../aws-error.js';
import { type CustomKeyStoresChange, isNamed } from '../custom-key-stores/custom-key-stores.js';
import type { CustomKeyStoreRecord } from '../custom-key-stores/record.js';
import { required } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import { accountOf, type Call, noteEventData } from './call.js';
import { epochSeconds } from './key-metadata.js';
import { defineAccountOperation } from './operation.js';
import { pageOf } from './pages.js';

/** KMS quota: custom key stores of an account in a Region. */
const MAX_CUSTOM_KEY_STORES = 10;
const CONNECT_REQUEST_BYTES = 16;

/** Members of an external key store; none of them is looked at. */
const EXTERNAL_MEMBERS = [
  'XksProxyUriEndpoint',
  'XksProxyUriPath',
  'XksProxyVpcEndpointServiceName',
  'XksProxyVpcEndpointServiceOwner',
  'XksProxyAuthenticationCredential',
  'XksProxyConnectivity',
] as const;

const externalMembers = {
  XksProxyUriEndpoint: shapes.xksMember,
  XksProxyUriPath: shapes.xksMember,
  XksProxyVpcEndpointServiceName: shapes.xksMember,
  XksProxyVpcEndpointServiceOwner: shapes.xksMember,
  XksProxyAuthenticationCredential: shapes.xksMember,
  XksProxyConnectivity: shapes.xksMember,
};

type ExternalMembers = Readonly<Partial<Record<(typeof EXTERNAL_MEMBERS)[number], unknown>>>;

function refuseExternal(input: ExternalMembers, type?: string): void {
  const member = EXTERNAL_MEMBERS.find((name) => input[name] !== undefined);
  if (type !== 'EXTERNAL_KEY_STORE' && member === undefined) return;
  throw new AwsError(
    'UnsupportedOperationException',
    `External key stores (${member ?? 'CustomKeyStoreType EXTERNAL_KEY_STORE'}) are not supported by this key service. It has custom key stores of the types AWS_CLOUDHSM and PKCS11, both over PKCS#11 tokens.`,
  );
}

export const createCustomKeyStore = defineAccountOperation({
  name: 'CreateCustomKeyStore',
  action: 'kms:CreateCustomKeyStore',
  readOnly: false,
  input: {
    CustomKeyStoreName: required(shapes.customKeyStoreName),
    CloudHsmClusterId: shapes.cloudHsmClusterId,
    TrustAnchorCertificate: shapes.trustAnchorCertificate,
    KeyStorePassword: shapes.keyStorePassword,
    CustomKeyStoreType: shapes.customKeyStoreType,
    ...externalMembers,
  },
  check(input) {
    refuseExternal(input, input.CustomKeyStoreType);
    const type = input.CustomKeyStoreType ?? 'AWS_CLOUDHSM';
    const missing =
      input.CloudHsmClusterId === undefined
        ? 'CloudHsmClusterId'
        : input.KeyStorePassword === undefined
          ? 'KeyStorePassword'
          : input.TrustAnchorCertificate === undefined && type === 'AWS_CLOUDHSM'
            ? 'TrustAnchorCertificate'
            : undefined;
    if (missing !== undefined) {
      throw new AwsError(
        'ValidationException',
        `${missing} is required for custom key stores of CustomKeyStoreType ${type}.`,
      );
    }
    checkCertificate(input.TrustAnchorCertificate);
  },
  async run(call, input) {
    const { customKeyStores, randomBytes } = call.services;
    const { CustomKeyStoreName: name, CustomKeyStoreType = 'AWS_CLOUDHSM' } = input;
    // `check` has refused requests without them, and those of other types.
    const clusterId = input.CloudHsmClusterId as string;
    const accountId = accountOf(call);
    const id = { accountId, region: call.region, customKeyStoreId: newId(randomBytes) };
    const certificate = input.TrustAnchorCertificate;
    const record: CustomKeyStoreRecord = {
      ...id,
      name,
      type: CustomKeyStoreType === 'PKCS11' ? 'PKCS11' : 'AWS_CLOUDHSM',
      creationDateMs: call.nowMs,
      clusterId,
      ...(certificate === undefined ? {} : { trustAnchorCertificate: certificate.toString() }),
      sealedPassword: customKeyStores.sealPassword(id, input.KeyStorePassword as Buffer),
    };
    checkToken(call, clusterId);
    await customKeyStores.update((records) => {
      checkName(records, record);
      checkClusterUnused(records, record);
      const own = records.filter((one) => one.accountId === accountId && one.region === call.region);
      if (own.length >= MAX_CUSTOM_KEY_STORES) {
        throw new AwsError(
          'LimitExceededException',
          `The account has ${own.length} custom key stores in this Region already, which is the limit.`,
        );
      }
      return [...records, record];
    });
    return { CustomKeyStoreId: record.customKeyStoreId };
  },
});

function newId(randomBytes: (size: number) => Buffer): string {
  return `cks-${randomBytes(9).toString('hex').slice(0, 17)}`;
}

function checkCertificate(pem: Buffer | undefined): void {
  if (pem === undefined) return;
  try {
    // The constructor takes DER too; the API does not.
    if (!pem.toString().trimStart().startsWith('-----BEGIN CERTIFICATE-----')) throw new TypeError('no PEM');
    void new X509Certificate(pem);
  } catch (cause) {
    throw new AwsError(
      'IncorrectTrustAnchorException',
      'TrustAnchorCertificate is not an X.509 certificate in PEM format.',
      { cause },
    );
  }
}

/** @throws AwsError CloudHsmClusterNotFoundException */
function checkToken(call: Call, clusterId: string): void {
  if (call.services.customKeyStores.hasToken(accountOf(call), clusterId)) return;
  throw new AwsError(
    'CloudHsmClusterNotFoundException',
    `The configuration of the key service names no token ${clusterId} for account ${accountOf(call)}.`,
  );
}

function checkName(records: readonly CustomKeyStoreRecord[], record: CustomKeyStoreRecord): void {
  const { accountId, region, name, customKeyStoreId } = record;
  const taken = records.some(
    (one) =>
      one.accountId === accountId &&
      one.region === region &&
      one.name === name &&
      one.customKeyStoreId !== customKeyStoreId,
  );
  if (taken) {
    throw new AwsError(
      'CustomKeyStoreNameInUseException',
      `The custom key store name ${name} is already in use.`,
    );
  }
}

/** In any Region: sessions of one token share their login, so that a second store would be let in with any password. */
function checkClusterUnused(records: readonly CustomKeyStoreRecord[], record: CustomKeyStoreRecord): void {
  const { clusterId, customKeyStoreId } = record;
  const user = records.find(
    (one) => one.clusterId === clusterId && one.customKeyStoreId !== customKeyStoreId,
  );
  if (user !== undefined) {
    throw new AwsError(
      'CloudHsmClusterInUseException',
      `${clusterId} is already associated with custom key store ${user.customKeyStoreId} in ${user.region}.`,
    );
  }
}

export const describeCustomKeyStores = defineAccountOperation({
  name: 'DescribeCustomKeyStores',
  action: 'kms:DescribeCustomKeyStores',
  readOnly: true,
  input: {
    CustomKeyStoreId: shapes.customKeyStoreId,
    CustomKeyStoreName: shapes.customKeyStoreName,
    Limit: shapes.limit,
    Marker: shapes.marker,
  },
  check({ CustomKeyStoreId, CustomKeyStoreName }) {
    if (CustomKeyStoreId !== undefined && CustomKeyStoreName !== undefined) {
      throw new AwsError(
        'ValidationException',
        'You can specify either CustomKeyStoreId or CustomKeyStoreName, but not both.',
      );
    }
  },
  run(call, input) {
    const { CustomKeyStoreId: id, CustomKeyStoreName: name } = input;
    const found = call.services.customKeyStores
      .list(accountOf(call), call.region)
      .filter((one) => (id === undefined || one.customKeyStoreId === id) && (name ?? one.name) === one.name);
    if (found.length === 0 && (id ?? name) !== undefined) throw notFound(id ?? name ?? '');
    const { items, tail } = pageOf(
      'DescribeCustomKeyStores',
      input,
      { defaultSize: 100, maxSize: 1000 },
      found,
      (one) => one.customKeyStoreId,
    );
    return { CustomKeyStores: items.map((one) => describe(call, one)), ...tail };
  },
});

function describe(call: Call, record: CustomKeyStoreRecord): Readonly<Record<string, unknown>> {
  const connection = call.services.customKeyStores.stateOf(record);
  return {
    CloudHsmClusterId: record.clusterId,
    ...(connection.kind === 'FAILED' ? { ConnectionErrorCode: connection.errorCode } : {}),
    ConnectionState: connection.kind,
    CreationDate: epochSeconds(record.creationDateMs),
    CustomKeyStoreId: record.customKeyStoreId,
    CustomKeyStoreName: record.name,
    CustomKeyStoreType: record.type,
    ...(record.trustAnchorCertificate === undefined
      ? {}
      : { TrustAnchorCertificate: record.trustAnchorCertificate }),
  };
}

export const updateCustomKeyStore = defineAccountOperation({
  name: 'UpdateCustomKeyStore',
  action: 'kms:UpdateCustomKeyStore',
  readOnly: false,
  input: {
    CustomKeyStoreId: required(shapes.customKeyStoreId),
    NewCustomKeyStoreName: shapes.customKeyStoreName,
    KeyStorePassword: shapes.keyStorePassword,
    CloudHsmClusterId: shapes.cloudHsmClusterId,
    ...externalMembers,
  },
  check: (input) => refuseExternal(input),
  async run(call, input) {
    const { customKeyStores } = call.services;
    const { NewCustomKeyStoreName: name, KeyStorePassword: password, CloudHsmClusterId: clusterId } = input;
    const found = findStore(call, input.CustomKeyStoreId);
    if (clusterId !== undefined) checkToken(call, clusterId);
    const changed = {
      ...(name === undefined ? {} : { name }),
      ...(clusterId === undefined ? {} : { clusterId }),
      ...(password === undefined ? {} : { sealedPassword: customKeyStores.sealPassword(found, password) }),
    };
    const nameOnly = password === undefined && clusterId === undefined;
    await customKeyStores.update(
      changing(found, (record, records) => {
        const connected = customKeyStores.stateOf(record).kind === 'CONNECTED';
        if (record.connectRequest !== undefined && !(nameOnly && connected)) {
          throw invalidState(call, record, 'Disconnect it before you update it.');
        }
        const updated = { ...record, ...changed };
        checkName(records, updated);
        checkClusterUnused(records, updated);
        return updated;
      }),
    );
    // An old password is kept nowhere.
    if (password !== undefined) await customKeyStores.eraseHistory();
    return {};
  },
});

export const deleteCustomKeyStore = defineAccountOperation({
  name: 'DeleteCustomKeyStore',
  action: 'kms:DeleteCustomKeyStore',
  readOnly: false,
  input: { CustomKeyStoreId: required(shapes.customKeyStoreId) },
  async run(call, { CustomKeyStoreId }) {
    const { customKeyStores, keys, tokenKeys } = call.services;
    const found = findStore(call, CustomKeyStoreId);
    if (await tokenKeys.isCreatingIn(found))
      throw hasKeys(CustomKeyStoreId, 'A KMS key is being created in it.');
    await customKeyStores.update((records) => {
      const record = current(records, found);
      if (record.connectRequest !== undefined || customKeyStores.stateOf(record).kind !== 'DISCONNECTED') {
        throw invalidState(call, record, 'Disconnect it before you delete it.');
      }
      for (const keyId of keys.keyIds(found.accountId, found.region).after(undefined, Infinity)) {
        const key = keys.findKey(found.accountId, found.region, keyId);
        if (key?.customKeyStoreId !== CustomKeyStoreId) continue;
        throw hasKeys(CustomKeyStoreId, 'Schedule their deletion and wait until they are deleted.');
      }
      return records.filter((one) => one !== record);
    });
    await customKeyStores.eraseHistory();
    return {};
  },
});

export const connectCustomKeyStore = defineAccountOperation({
  name: 'ConnectCustomKeyStore',
  action: 'kms:ConnectCustomKeyStore',
  readOnly: false,
  input: { CustomKeyStoreId: required(shapes.customKeyStoreId) },
  async run(call, { CustomKeyStoreId }) {
    const { customKeyStores, randomBytes } = call.services;
    const found = findStore(call, CustomKeyStoreId);
    const connectRequest = randomBytes(CONNECT_REQUEST_BYTES).toString('hex');
    await customKeyStores.update(
      changing(found, (record) => {
        const { kind } = customKeyStores.stateOf(record);
        if (kind === 'DISCONNECTING') throw invalidState(call, record, 'Wait until it is disconnected.');
        if (kind === 'FAILED') throw invalidState(call, record, 'Disconnect it before you connect it again.');
        return record.connectRequest === undefined ? { ...record, connectRequest } : record;
      }),
    );
    return {};
  },
});

export const disconnectCustomKeyStore = defineAccountOperation({
  name: 'DisconnectCustomKeyStore',
  action: 'kms:DisconnectCustomKeyStore',
  readOnly: false,
  input: { CustomKeyStoreId: required(shapes.customKeyStoreId) },
  async run(call, { CustomKeyStoreId }) {
    const found = findStore(call, CustomKeyStoreId);
    await call.services.customKeyStores.update(
      changing(found, (record) => {
        const { connectRequest, refused: _, ...disconnected } = record;
        if (connectRequest === undefined) throw invalidState(call, record, 'There is nothing to disconnect.');
        return disconnected;
      }),
    );
    return {};
  },
});

/** @throws AwsError CustomKeyStoreNotFoundException */
function findStore(call: Call, customKeyStoreId: string): CustomKeyStoreRecord {
  const name = { accountId: accountOf(call), region: call.region, customKeyStoreId };
  const found = call.services.customKeyStores.find(name);
  if (found === undefined) throw notFound(customKeyStoreId);
  // AWS records which store it was, by its name and cluster.
  noteEventData(call, { customKeyStoreName: found.name, clusterId: found.clusterId });
  return found;
}

/** @throws AwsError CustomKeyStoreNotFoundException when it was deleted meanwhile */
function current(
  records: readonly CustomKeyStoreRecord[],
  found: CustomKeyStoreRecord,
): CustomKeyStoreRecord {
  const record = records.find((one) => isNamed(one, found));
  if (record === undefined) throw notFound(found.customKeyStoreId);
  return record;
}

function changing(
  found: CustomKeyStoreRecord,
  change: (record: CustomKeyStoreRecord, records: readonly CustomKeyStoreRecord[]) => CustomKeyStoreRecord,
): CustomKeyStoresChange {
  return (records) => {
    const record = current(records, found);
    const changed = change(record, records);
    return records.map((one) => (one === record ? changed : one));
  };
}

function hasKeys(customKeyStoreId: string, advice: string): AwsError {
  return new AwsError(
    'CustomKeyStoreHasCMKsException',
    `The custom key store ${customKeyStoreId} contains KMS keys. ${advice}`,
  );
}

function notFound(idOrName: string): AwsError {
  return new AwsError('CustomKeyStoreNotFoundException', `The custom key store ${idOrName} does not exist.`);
}

function invalidState(call: Call, record: CustomKeyStoreRecord, advice: string): AwsError {
  const { kind } = call.services.customKeyStores.stateOf(record);
  return new AwsError(
    'CustomKeyStoreInvalidStateException',
    `The connection state of custom key store ${record.customKeyStoreId} is ${kind}. ${advice}`,
  );
}
