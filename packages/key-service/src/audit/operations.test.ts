// Goal: every operation is recorded as the KMS Developer Guide's log entries show it. Method: each is called once by an SDK client; parameters, answer,
// additional data and resources of its record are compared as a table.
import assert from 'node:assert/strict';
import { constants, createPublicKey, generateKeyPairSync, publicEncrypt, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import * as sdk from '@aws-sdk/client-kms';
import { OPERATIONS } from '../operations/table.js';
import { type AuditRecord, recordsOf } from '../testing/audit-records.js';
import { ACCOUNT, OTHER_ACCOUNT, REGION, startTestService } from '../testing/harness.js';
import { dateText } from './record-members.js';

const NOW = Date.UTC(2026, 4, 21, 5, 47, 45);
const HOUR_MS = 3_600_000;
const GRANTEE = `arn:aws:iam::${ACCOUNT}:user/nobody`;
const POLICY = JSON.stringify({
  Version: '2012-10-17',
  Statement: [
    { Effect: 'Allow', Principal: { AWS: [ACCOUNT, OTHER_ACCOUNT] }, Action: 'kms:*', Resource: '*' },
  ],
});

interface Entry {
  readonly eventName: string;
  readonly requestParameters: unknown;
  /** Default null. */
  readonly responseElements?: unknown;
  readonly additionalEventData?: unknown;
  readonly serviceEventDetails?: unknown;
  /** ARNs; default: none. */
  readonly resources?: readonly string[];
}

function entryOf(record: AuditRecord): Entry {
  const { eventName, requestParameters, responseElements, additionalEventData, serviceEventDetails } = record;
  const resources = record['resources'] as readonly { readonly ARN: string }[];
  return {
    eventName,
    requestParameters,
    ...(responseElements === null ? {} : { responseElements }),
    ...(additionalEventData === undefined ? {} : { additionalEventData }),
    ...(serviceEventDetails === undefined ? {} : { serviceEventDetails }),
    ...(resources.length === 0 ? {} : { resources: resources.map(({ ARN }) => ARN) }),
  };
}

test('dates are written as CloudTrail writes them', () => {
  assert.equal(dateText(NOW), 'May 21, 2026, 5:47:45 AM');
  assert.equal(dateText(Date.UTC(2020, 11, 1, 0, 0, 0)), 'Dec 1, 2020, 12:00:00 AM');
  assert.equal(dateText(Date.UTC(2020, 0, 31, 12, 1, 9)), 'Jan 31, 2020, 12:01:09 PM');
  assert.equal(dateText(Date.UTC(2020, 0, 31, 23, 0, 0)), 'Jan 31, 2020, 11:00:00 PM');
  assert.equal(dateText(8.64e15 + 1), '8640000000000001');
});

test('every operation is recorded as AWS documents it', async (t) => {
  const kms = await startTestService({ now: () => NOW });
  t.after(() => kms.close());
  const client = kms.client();
  const expected: Entry[] = [];
  const expect = (eventName: string, requestParameters: unknown, rest: Partial<Entry> = {}): void => {
    expected.push({ eventName, requestParameters, ...rest });
  };
  const create = async (input: sdk.CreateKeyCommandInput): Promise<sdk.KeyMetadata & { KeyId: string }> =>
    (await client.send(new sdk.CreateKeyCommand(input))).KeyMetadata as sdk.KeyMetadata & { KeyId: string };
  const date = dateText(NOW);

  const made = await create({
    Description: 'audited',
    Policy: POLICY,
    Tags: [{ TagKey: 'K', TagValue: 'V' }],
  });
  const { KeyId, Arn = '', CurrentKeyMaterialId: material = '' } = made;
  const metadata = {
    AWSAccountId: ACCOUNT,
    arn: Arn,
    creationDate: date,
    currentKeyMaterialId: material,
    customerMasterKeySpec: 'SYMMETRIC_DEFAULT',
    description: 'audited',
    enabled: true,
    encryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
    keyId: KeyId,
    keyManager: 'CUSTOMER',
    keySpec: 'SYMMETRIC_DEFAULT',
    keyState: 'Enabled',
    keyUsage: 'ENCRYPT_DECRYPT',
    multiRegion: false,
    origin: 'AWS_KMS',
  };
  const creation = {
    description: 'audited',
    keyUsage: 'ENCRYPT_DECRYPT',
    customerMasterKeySpec: 'SYMMETRIC_DEFAULT',
    keySpec: 'SYMMETRIC_DEFAULT',
    origin: 'AWS_KMS',
    bypassPolicyLockoutSafetyCheck: false,
  };
  const key = { resources: [Arn] };
  const changed = { ...key, responseElements: { keyId: Arn } };
  const used = { ...key, additionalEventData: { keyMaterialId: material } };
  const keyId = { keyId: KeyId };
  const algorithm = { encryptionAlgorithm: 'SYMMETRIC_DEFAULT' };
  const EncryptionContext = { Department: 'Engineering', KeyId: 'stays' };
  const context = { encryptionContext: EncryptionContext };
  expect(
    'CreateKey',
    { ...creation, policy: POLICY, tags: [{ tagKey: 'K', tagValue: 'V' }] },
    { ...key, responseElements: { keyMetadata: metadata } },
  );
  const asymmetric = async (input: sdk.CreateKeyCommandInput): Promise<string> => {
    const { KeyId: id, Arn: arn = '', ...rest } = await create(input);
    const { KeySpec, KeyUsage } = input;
    const { CreationDate: _, ...members } = rest;
    expect(
      'CreateKey',
      {
        ...creation,
        description: '',
        keyUsage: KeyUsage,
        customerMasterKeySpec: KeySpec,
        keySpec: KeySpec,
      },
      {
        resources: [arn],
        responseElements: {
          keyMetadata: {
            ...Object.fromEntries(
              Object.entries(members).map(([name, value]) => [
                name === 'AWSAccountId' ? name : name.charAt(0).toLowerCase() + name.slice(1),
                value,
              ]),
            ),
            arn,
            creationDate: date,
            keyId: id,
          },
        },
      },
    );
    return id;
  };
  const arnOf = (id: string): string => Arn.replace(KeyId, id);

  // Cryptographic operations.
  const encrypted = await client.send(
    new sdk.EncryptCommand({ KeyId, Plaintext: randomBytes(9), EncryptionContext }),
  );
  expect('Encrypt', { ...keyId, ...context, ...algorithm }, used);
  const { CiphertextBlob } = encrypted;
  await client.send(new sdk.DecryptCommand({ CiphertextBlob, EncryptionContext }));
  expect('Decrypt', { ...context, ...algorithm }, used);
  await client.send(
    new sdk.ReEncryptCommand({
      CiphertextBlob,
      SourceEncryptionContext: EncryptionContext,
      DestinationKeyId: Arn,
    }),
  );
  expect(
    'ReEncrypt',
    {
      sourceEncryptionContext: EncryptionContext,
      destinationKeyId: Arn,
      sourceEncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      destinationEncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
    },
    {
      resources: [Arn, Arn],
      additionalEventData: { destinationKeyMaterialId: material, sourceKeyMaterialId: material },
    },
  );
  await client.send(new sdk.GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256', EncryptionContext }));
  expect('GenerateDataKey', { ...keyId, ...context, keySpec: 'AES_256' }, used);
  await client.send(new sdk.GenerateDataKeyWithoutPlaintextCommand({ KeyId, NumberOfBytes: 32 }));
  expect('GenerateDataKeyWithoutPlaintext', { ...keyId, numberOfBytes: 32 }, used);
  const pairSpec = { KeyId, KeyPairSpec: 'ECC_NIST_P256' } as const;
  await client.send(new sdk.GenerateDataKeyPairCommand(pairSpec));
  expect('GenerateDataKeyPair', { ...keyId, keyPairSpec: 'ECC_NIST_P256' }, used);
  await client.send(new sdk.GenerateDataKeyPairWithoutPlaintextCommand(pairSpec));
  expect('GenerateDataKeyPairWithoutPlaintext', { ...keyId, keyPairSpec: 'ECC_NIST_P256' }, used);
  await client.send(new sdk.GenerateRandomCommand({ NumberOfBytes: 8 }));
  expect('GenerateRandom', null);

  const signer = await asymmetric({ KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' });
  const signing = { KeyId: signer, SigningAlgorithm: 'ECDSA_SHA_256', Message: randomBytes(9) } as const;
  const signed = { keyId: signer, signingAlgorithm: 'ECDSA_SHA_256', messageType: 'RAW' };
  const { Signature } = await client.send(new sdk.SignCommand(signing));
  expect('Sign', signed, { resources: [arnOf(signer)] });
  await client.send(new sdk.VerifyCommand({ ...signing, Signature }));
  expect('Verify', signed, { resources: [arnOf(signer)] });
  const mac = await asymmetric({ KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' });
  const macing = { KeyId: mac, MacAlgorithm: 'HMAC_SHA_256', Message: randomBytes(9) } as const;
  const { Mac } = await client.send(new sdk.GenerateMacCommand(macing));
  expect('GenerateMac', { keyId: mac, macAlgorithm: 'HMAC_SHA_256' }, { resources: [arnOf(mac)] });
  await client.send(new sdk.VerifyMacCommand({ ...macing, Mac }));
  expect('VerifyMac', { keyId: mac, macAlgorithm: 'HMAC_SHA_256' }, { resources: [arnOf(mac)] });
  const agreement = await asymmetric({ KeySpec: 'ECC_NIST_P256', KeyUsage: 'KEY_AGREEMENT' });
  await client.send(
    new sdk.DeriveSharedSecretCommand({
      KeyId: agreement,
      KeyAgreementAlgorithm: 'ECDH',
      PublicKey: generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({
        format: 'der',
        type: 'spki',
      }),
    }),
  );
  expect(
    'DeriveSharedSecret',
    { keyId: agreement, keyAgreementAlgorithm: 'ECDH' },
    { resources: [arnOf(agreement)] },
  );
  await client.send(new sdk.GetPublicKeyCommand({ KeyId: signer }));
  expect('GetPublicKey', { keyId: signer }, { resources: [arnOf(signer)] });

  // Aliases.
  const AliasName = 'alias/app';
  const alias = `arn:aws:kms:${REGION}:${ACCOUNT}:${AliasName}`;
  const named = { aliasName: AliasName };
  const aliased = { responseElements: { keyId: Arn } };
  await client.send(new sdk.CreateAliasCommand({ AliasName, TargetKeyId: KeyId }));
  expect('CreateAlias', { ...named, targetKeyId: KeyId }, { ...aliased, resources: [alias, Arn] });
  await client.send(new sdk.UpdateAliasCommand({ AliasName, TargetKeyId: KeyId }));
  expect('UpdateAlias', { ...named, targetKeyId: KeyId }, { ...aliased, resources: [alias, Arn, Arn] });
  await client.send(new sdk.ListAliasesCommand({ Limit: 5 }));
  expect('ListAliases', { limit: 5 });
  await client.send(new sdk.DeleteAliasCommand({ AliasName }));
  expect('DeleteAlias', named, { ...aliased, resources: [alias, Arn] });

  // Grants.
  const Constraints = { EncryptionContextSubset: { ContextKey: 'Value' } };
  const grant = {
    KeyId,
    GranteePrincipal: GRANTEE,
    RetiringPrincipal: GRANTEE,
    Operations: ['Encrypt', 'RetireGrant'],
  } satisfies sdk.CreateGrantCommandInput;
  const granted = {
    ...keyId,
    granteePrincipal: GRANTEE,
    retiringPrincipal: GRANTEE,
    operations: ['Encrypt', 'RetireGrant'],
  };
  const { GrantId, GrantToken } = await client.send(new sdk.CreateGrantCommand({ ...grant, Constraints }));
  expect(
    'CreateGrant',
    { ...granted, constraints: { encryptionContextSubset: { ContextKey: 'Value' } } },
    { ...key, responseElements: { grantId: GrantId, keyId: Arn } },
  );
  await client.send(new sdk.ListGrantsCommand({ KeyId }));
  expect('ListGrants', keyId, key);
  await client.send(new sdk.ListRetirableGrantsCommand({ RetiringPrincipal: GRANTEE }));
  expect('ListRetirableGrants', { retiringPrincipal: GRANTEE });
  await client.send(new sdk.RetireGrantCommand({ GrantToken }));
  expect('RetireGrant', null, { ...changed, additionalEventData: { grantId: GrantId } });
  const second = await client.send(new sdk.CreateGrantCommand(grant));
  expect('CreateGrant', granted, { ...key, responseElements: { grantId: second.GrantId, keyId: Arn } });
  await client.send(new sdk.RevokeGrantCommand({ KeyId, GrantId: second.GrantId }));
  expect('RevokeGrant', { ...keyId, grantId: second.GrantId }, changed);

  // Metadata, policy, tags.
  await client.send(new sdk.DescribeKeyCommand({ KeyId }));
  expect('DescribeKey', keyId, key);
  await client.send(new sdk.ListKeysCommand({}));
  expect('ListKeys', null);
  await client.send(new sdk.UpdateKeyDescriptionCommand({ KeyId, Description: 'new' }));
  expect('UpdateKeyDescription', { ...keyId, description: 'new' }, changed);
  await client.send(new sdk.GetKeyPolicyCommand({ KeyId }));
  expect('GetKeyPolicy', { ...keyId, policyName: 'default' }, key);
  await client.send(new sdk.PutKeyPolicyCommand({ KeyId, Policy: POLICY }));
  expect(
    'PutKeyPolicy',
    { ...keyId, policy: POLICY, policyName: 'default', bypassPolicyLockoutSafetyCheck: false },
    changed,
  );
  await client.send(new sdk.ListKeyPoliciesCommand({ KeyId }));
  expect('ListKeyPolicies', keyId, key);
  await client.send(new sdk.TagResourceCommand({ KeyId, Tags: [{ TagKey: 'Dept', TagValue: 'IT' }] }));
  expect('TagResource', { ...keyId, tags: [{ tagKey: 'Dept', tagValue: 'IT' }] }, changed);
  await client.send(new sdk.UntagResourceCommand({ KeyId, TagKeys: ['Dept'] }));
  expect('UntagResource', { ...keyId, tagKeys: ['Dept'] }, changed);
  await client.send(new sdk.ListResourceTagsCommand({ KeyId }));
  expect('ListResourceTags', keyId, key);
  await client.send(new sdk.GetKeyLastUsageCommand({ KeyId }));
  expect('GetKeyLastUsage', keyId, key);

  // Rotation.
  await client.send(new sdk.EnableKeyRotationCommand({ KeyId, RotationPeriodInDays: 90 }));
  expect('EnableKeyRotation', { ...keyId, rotationPeriodInDays: 90 }, changed);
  await client.send(new sdk.GetKeyRotationStatusCommand({ KeyId }));
  expect('GetKeyRotationStatus', keyId, key);
  await client.send(new sdk.DisableKeyRotationCommand({ KeyId }));
  expect('DisableKeyRotation', keyId, changed);
  await client.send(new sdk.RotateKeyOnDemandCommand({ KeyId }));
  const now = await client.send(new sdk.DescribeKeyCommand({ KeyId }));
  expect('RotateKeyOnDemand', keyId, changed);
  expect('RotateKey', null, {
    ...key,
    serviceEventDetails: {
      rotationType: 'ON_DEMAND',
      keyOrigin: 'AWS_KMS',
      previousKeyMaterialId: material,
      currentKeyMaterialId: now.KeyMetadata?.CurrentKeyMaterialId,
      keyId: KeyId,
    },
  });
  expect('DescribeKey', keyId, key);
  await client.send(new sdk.ListKeyRotationsCommand({ KeyId }));
  expect('ListKeyRotations', keyId, key);

  // States.
  await client.send(new sdk.DisableKeyCommand({ KeyId }));
  expect('DisableKey', keyId, changed);
  await client.send(new sdk.EnableKeyCommand({ KeyId }));
  expect('EnableKey', keyId, changed);
  await client.send(new sdk.ScheduleKeyDeletionCommand({ KeyId }));
  expect(
    'ScheduleKeyDeletion',
    { ...keyId, pendingWindowInDays: 30 },
    {
      ...key,
      responseElements: {
        deletionDate: dateText(NOW + 30 * 24 * HOUR_MS),
        keyId: Arn,
        keyState: 'PendingDeletion',
        pendingWindowInDays: 30,
      },
    },
  );
  await client.send(new sdk.CancelKeyDeletionCommand({ KeyId }));
  expect('CancelKeyDeletion', keyId, changed);

  // Imported material.
  const external = await create({ Origin: 'EXTERNAL' });
  const { currentKeyMaterialId: _, ...pending } = metadata;
  const externalKey = { resources: [external.Arn ?? ''] };
  expect(
    'CreateKey',
    { ...creation, description: '', origin: 'EXTERNAL' },
    {
      ...externalKey,
      responseElements: {
        keyMetadata: {
          ...pending,
          arn: external.Arn,
          keyId: external.KeyId,
          description: '',
          enabled: false,
          keyState: 'PendingImport',
          origin: 'EXTERNAL',
        },
      },
    },
  );
  const wrapping = {
    KeyId: external.KeyId,
    WrappingAlgorithm: 'RSAES_OAEP_SHA_256',
    WrappingKeySpec: 'RSA_2048',
  } as const;
  const { ImportToken, PublicKey = Buffer.alloc(0) } = await client.send(
    new sdk.GetParametersForImportCommand(wrapping),
  );
  expect(
    'GetParametersForImport',
    { keyId: external.KeyId, wrappingAlgorithm: 'RSAES_OAEP_SHA_256', wrappingKeySpec: 'RSA_2048' },
    externalKey,
  );
  const EncryptedKeyMaterial = publicEncrypt(
    {
      key: createPublicKey({ key: Buffer.from(PublicKey), format: 'der', type: 'spki' }),
      padding: constants.RSA_PKCS1_OAEP_PADDING,
      oaepHash: 'sha256',
    },
    randomBytes(32),
  );
  const ValidTo = new Date(NOW + HOUR_MS);
  const imported = await client.send(
    new sdk.ImportKeyMaterialCommand({ KeyId: external.KeyId, ImportToken, EncryptedKeyMaterial, ValidTo }),
  );
  const material2 = { keyId: external.Arn, keyMaterialId: imported.KeyMaterialId };
  expect(
    'ImportKeyMaterial',
    {
      keyId: external.KeyId,
      validTo: dateText(NOW + HOUR_MS),
      expirationModel: 'KEY_MATERIAL_EXPIRES',
    },
    { ...externalKey, responseElements: material2 },
  );
  await client.send(new sdk.DeleteImportedKeyMaterialCommand({ KeyId: external.KeyId }));
  expect(
    'DeleteImportedKeyMaterial',
    { keyId: external.KeyId },
    { ...externalKey, responseElements: material2 },
  );

  const records = (await recordsOf(kms, ACCOUNT)).filter(({ awsRegion }) => awsRegion === REGION);
  assert.deepEqual(records.map(entryOf), expected);
  const changes = new Set(
    [...OPERATIONS.values()].filter(({ readOnly }) => !readOnly).map(({ name }) => name),
  );
  for (const { eventName, ...record } of records) {
    assert.equal(record['readOnly'], !changes.has(eventName) && eventName !== 'RotateKey', eventName);
  }
  const elsewhere = ['ReplicateKey', 'UpdatePrimaryRegion', 'Encapsulate', 'Decapsulate'];
  const covered = new Set([...expected.map(({ eventName }) => eventName), ...elsewhere]);
  const missing = [...OPERATIONS.keys()].filter(
    (name) => !covered.has(name) && !name.includes('CustomKeyStore'),
  );
  assert.deepEqual(missing, []);
});
