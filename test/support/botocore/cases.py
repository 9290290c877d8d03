"""Drives the key service with botocore, the client under boto3 and the aws CLI.

Usage: cases.py CASE ENDPOINT CA_FILE. Prints one JSON object of what came back; the test that runs it judges it.
The access key comes from the environment, as botocore takes it.
"""
import datetime
import hashlib
import hmac
import json
import sys
import ssl
import urllib.error
import urllib.request

import awscli  # Lets the aws CLI's own copy be imported as botocore.
import botocore.session
from botocore.config import Config
from botocore.credentials import AssumeRoleProvider
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

CASE, ENDPOINT, CA_FILE = sys.argv[1:4]
REGION = 'us-east-1'


def client(service='kms', region=REGION, **settings):
    return botocore.session.get_session().create_client(
        service, region_name=region, endpoint_url=ENDPOINT, verify=CA_FILE, **settings)


class Recorder:
    """Calls operations and remembers which ones answered."""

    def __init__(self, kms):
        self.kms = kms
        self.called = []

    def __call__(self, operation, **parameters):
        answer = getattr(self.kms, operation)(**parameters)
        assert answer['ResponseMetadata']['HTTPStatusCode'] == 200
        assert answer['ResponseMetadata']['RequestId']
        self.called.append(self.kms.meta.method_to_api_mapping[operation])
        del answer['ResponseMetadata']
        return answer


def operations():
    """Every operation that this botocore's model of KMS has, custom key stores apart."""
    call = Recorder(client())
    facts = {}
    metadata = call('create_key', Description='botocore', Tags=[{'TagKey': 'a', 'TagValue': '1'}])['KeyMetadata']
    key, arn = metadata['KeyId'], metadata['Arn']
    facts['creationDateIsAware'] = metadata['CreationDate'].tzinfo is not None
    facts['creationAge'] = abs((datetime.datetime.now(datetime.timezone.utc) - metadata['CreationDate']).total_seconds()) < 60
    call('create_alias', AliasName='alias/botocore', TargetKeyId=key)
    facts['describedByAlias'] = call('describe_key', KeyId='alias/botocore')['KeyMetadata'] == metadata
    context = {'app': 'shop', 'unicode': 'söme ✓'}
    sealed = call('encrypt', KeyId='alias/botocore', Plaintext=b'\x00\xffbytes', EncryptionContext=context)
    opened = call('decrypt', CiphertextBlob=sealed['CiphertextBlob'], EncryptionContext=context)
    facts['decrypted'] = opened['Plaintext'] == b'\x00\xffbytes' and opened['KeyId'] == arn
    data_key = call('generate_data_key', KeyId=key, KeySpec='AES_256')
    facts['dataKey'] = call('decrypt', CiphertextBlob=data_key['CiphertextBlob'])['Plaintext'] == data_key['Plaintext']
    facts['withoutPlaintext'] = sorted(call('generate_data_key_without_plaintext', KeyId=key, NumberOfBytes=64))
    facts['random'] = len(call('generate_random', NumberOfBytes=33)['Plaintext'])

    other = call('create_key')['KeyMetadata']['KeyId']
    moved = call('re_encrypt', CiphertextBlob=sealed['CiphertextBlob'], SourceEncryptionContext=context,
                 DestinationKeyId=other, DestinationEncryptionContext={'b': 'c'})
    facts['reEncrypted'] = call('decrypt', CiphertextBlob=moved['CiphertextBlob'],
                                EncryptionContext={'b': 'c'})['Plaintext'] == b'\x00\xffbytes'
    call('update_alias', AliasName='alias/botocore', TargetKeyId=other)
    facts['aliasMoved'] = call('list_aliases', KeyId=other)['Aliases'][0]['AliasName']
    call('delete_alias', AliasName='alias/botocore')

    pair = call('generate_data_key_pair', KeyId=key, KeyPairSpec='ECC_NIST_P256')
    private = serialization.load_der_private_key(pair['PrivateKeyPlaintext'], None)
    public = serialization.load_der_public_key(pair['PublicKey'])
    facts['pair'] = private.public_key().public_numbers() == public.public_numbers()
    facts['pairWithoutPlaintext'] = sorted(call('generate_data_key_pair_without_plaintext', KeyId=key, KeyPairSpec='ECC_NIST_P384'))

    signer = call('create_key', KeySpec='ECC_NIST_P256', KeyUsage='SIGN_VERIFY')['KeyMetadata']['KeyId']
    signature = call('sign', KeyId=signer, Message=b'message', SigningAlgorithm='ECDSA_SHA_256')['Signature']
    public = serialization.load_der_public_key(call('get_public_key', KeyId=signer)['PublicKey'])
    public.verify(signature, b'message', ec.ECDSA(hashes.SHA256()))
    facts['verified'] = call('verify', KeyId=signer, Message=hashlib.sha256(b'message').digest(), MessageType='DIGEST',
                             Signature=signature, SigningAlgorithm='ECDSA_SHA_256')['SignatureValid']
    rsa_key = call('create_key', KeySpec='RSA_2048', KeyUsage='SIGN_VERIFY')['KeyMetadata']['KeyId']
    signature = call('sign', KeyId=rsa_key, Message=hashlib.sha384(b'message').digest(), MessageType='DIGEST',
                     SigningAlgorithm='RSASSA_PSS_SHA_384')['Signature']
    serialization.load_der_public_key(call('get_public_key', KeyId=rsa_key)['PublicKey']).verify(
        signature, b'message', padding.PSS(padding.MGF1(hashes.SHA384()), 48), hashes.SHA384())

    facts['mac'] = import_hmac(call)
    facts['imported'] = import_symmetric(call)

    call('update_key_description', KeyId=key, Description='changed')
    call('tag_resource', KeyId=key, Tags=[{'TagKey': 'b', 'TagValue': '2'}])
    call('untag_resource', KeyId=key, TagKeys=['a'])
    facts['tags'] = call('list_resource_tags', KeyId=key)['Tags']
    policy = json.loads(call('get_key_policy', KeyId=key, PolicyName='default')['Policy'])
    policy['Id'] = 'botocore'
    call('put_key_policy', KeyId=key, PolicyName='default', Policy=json.dumps(policy))
    facts['policies'] = call('list_key_policies', KeyId=key)['PolicyNames']
    call('enable_key_rotation', KeyId=key)
    facts['rotation'] = call('get_key_rotation_status', KeyId=key)['KeyRotationEnabled']
    call('disable_key_rotation', KeyId=key)

    reader = arn.split(':key/')[0].replace(':kms:' + REGION, ':iam:') + ':user/reader'
    grant = call('create_grant', KeyId=key, GranteePrincipal=reader, RetiringPrincipal=reader, Operations=['Decrypt'],
                 Constraints={'EncryptionContextSubset': {'app': 'shop'}})
    facts['grants'] = [one['GrantId'] == grant['GrantId'] for one in call('list_grants', KeyId=key)['Grants']]
    facts['retirable'] = len(call('list_retirable_grants', RetiringPrincipal=reader)['Grants'])
    call('retire_grant', GrantToken=grant['GrantToken'])
    revoked = call('create_grant', KeyId=key, GranteePrincipal=reader, Operations=['Encrypt'])
    call('revoke_grant', KeyId=key, GrantId=revoked['GrantId'])

    primary = call('create_key', MultiRegion=True)['KeyMetadata']['KeyId']
    replica = call('replicate_key', KeyId=primary, ReplicaRegion='eu-west-1')
    facts['replica'] = replica['ReplicaKeyMetadata']['MultiRegionConfiguration']['MultiRegionKeyType']
    sealed = call('encrypt', KeyId=primary, Plaintext=b'both')
    facts['openedThere'] = client(region='eu-west-1').decrypt(CiphertextBlob=sealed['CiphertextBlob'])['Plaintext'].decode()
    call('update_primary_region', KeyId=primary, PrimaryRegion='eu-west-1')

    call('disable_key', KeyId=key)
    call('enable_key', KeyId=key)
    facts['pendingWindow'] = call('schedule_key_deletion', KeyId=key, PendingWindowInDays=7)['PendingWindowInDays']
    facts['cancelled'] = call('cancel_key_deletion', KeyId=key)['KeyId'] == arn
    facts['listed'] = key in [one['KeyId'] for one in call('list_keys')['Keys']]
    known = {name for name in call.kms.meta.service_model.operation_names if 'CustomKeyStore' not in name}
    facts['notCalled'] = sorted(known - set(call.called))
    return facts


def import_hmac(call):
    """Imported HMAC material makes the MACs that Python makes."""
    material = bytes(range(32))
    key = call('create_key', KeySpec='HMAC_256', KeyUsage='GENERATE_VERIFY_MAC', Origin='EXTERNAL')['KeyMetadata']['KeyId']
    wrapping = call('get_parameters_for_import', KeyId=key, WrappingAlgorithm='RSAES_OAEP_SHA_256', WrappingKeySpec='RSA_2048')
    public = serialization.load_der_public_key(wrapping['PublicKey'])
    wrapped = public.encrypt(material, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
    call('import_key_material', KeyId=key, ImportToken=wrapping['ImportToken'], EncryptedKeyMaterial=wrapped,
         ExpirationModel='KEY_MATERIAL_DOES_NOT_EXPIRE')
    mac = call('generate_mac', KeyId=key, Message=b'message', MacAlgorithm='HMAC_SHA_256')['Mac']
    call('verify_mac', KeyId=key, Message=b'message', MacAlgorithm='HMAC_SHA_256', Mac=mac)
    return mac == hmac.new(material, b'message', hashlib.sha256).digest()


def import_symmetric(call):
    """Expires, is deleted, and is waited for again. botocore sends and reads the date."""
    key = call('create_key', Origin='EXTERNAL')['KeyMetadata']['KeyId']
    wrapping = call('get_parameters_for_import', KeyId=key, WrappingAlgorithm='RSAES_OAEP_SHA_1', WrappingKeySpec='RSA_2048')
    public = serialization.load_der_public_key(wrapping['PublicKey'])
    wrapped = public.encrypt(bytes(32), padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))
    valid_to = datetime.datetime(2100, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    valid_to = min(valid_to, datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(days=300))
    call('import_key_material', KeyId=key, ImportToken=wrapping['ImportToken'], EncryptedKeyMaterial=wrapped,
         ExpirationModel='KEY_MATERIAL_EXPIRES', ValidTo=valid_to)
    described = call('describe_key', KeyId=key)['KeyMetadata']
    call('delete_imported_key_material', KeyId=key)
    after = call('describe_key', KeyId=key)['KeyMetadata']
    return [described['KeyState'], described['ValidTo'] == valid_to, after['KeyState']]


def errors():
    """The typed exceptions of botocore's model."""
    kms = client()
    key = kms.create_key()['KeyMetadata']['KeyId']
    blob = kms.encrypt(KeyId=key, Plaintext=b'x', EncryptionContext={'a': 'bc'})['CiphertextBlob']
    signer = kms.create_key(KeySpec='ECC_NIST_P256', KeyUsage='SIGN_VERIFY')['KeyMetadata']['KeyId']
    kms.create_alias(AliasName='alias/taken', TargetKeyId=key)
    disabled = kms.create_key()['KeyMetadata']['KeyId']
    kms.disable_key(KeyId=disabled)
    pending = kms.create_key()['KeyMetadata']['KeyId']
    kms.schedule_key_deletion(KeyId=pending, PendingWindowInDays=7)
    mac = kms.create_key(KeySpec='HMAC_256', KeyUsage='GENERATE_VERIFY_MAC')['KeyMetadata']['KeyId']
    external = kms.create_key(Origin='EXTERNAL')['KeyMetadata']['KeyId']
    absent = '12345678-1234-1234-1234-123456789012'
    cases = {
        'NotFoundException': lambda: kms.describe_key(KeyId=absent),
        'AlreadyExistsException': lambda: kms.create_alias(AliasName='alias/taken', TargetKeyId=key),
        'DisabledException': lambda: kms.encrypt(KeyId=disabled, Plaintext=b'x'),
        'KMSInvalidStateException': lambda: kms.encrypt(KeyId=pending, Plaintext=b'x'),
        'InvalidCiphertextException': lambda: kms.decrypt(CiphertextBlob=blob, EncryptionContext={'ab': 'c'}),
        'IncorrectKeyException': lambda: kms.decrypt(CiphertextBlob=blob, KeyId=disabled, EncryptionContext={'a': 'bc'}),
        'InvalidKeyUsageException': lambda: kms.encrypt(KeyId=signer, Plaintext=b'x'),
        'KMSInvalidSignatureException': lambda: kms.verify(
            KeyId=signer, Message=b'x', Signature=b'no signature', SigningAlgorithm='ECDSA_SHA_256'),
        'KMSInvalidMacException': lambda: kms.verify_mac(KeyId=mac, Message=b'x', Mac=bytes(32), MacAlgorithm='HMAC_SHA_256'),
        'MalformedPolicyDocumentException': lambda: kms.put_key_policy(KeyId=key, PolicyName='default', Policy='{'),
        'InvalidArnException': lambda: kms.list_resource_tags(KeyId='arn:aws:s3:::bucket'),
        'InvalidImportTokenException': lambda: kms.import_key_material(
            KeyId=external, ImportToken=b'no token', EncryptedKeyMaterial=bytes(256),
            ExpirationModel='KEY_MATERIAL_DOES_NOT_EXPIRE'),
        'UnsupportedOperationException': lambda: kms.enable_key_rotation(KeyId=signer),
        'TagException': lambda: kms.tag_resource(KeyId=key, Tags=[{'TagKey': 'aws:mine', 'TagValue': ''}]),
        'InvalidGrantTokenException': lambda: kms.encrypt(KeyId=key, Plaintext=b'x', GrantTokens=['no-token']),
        'InvalidMarkerException': lambda: kms.list_keys(Marker='nowhere'),
    }
    return {name: outcome(kms, name, call) for name, call in cases.items()}


def outcome(kms, name, call):
    try:
        call()
        return 'no error'
    except ClientError as error:
        typed = getattr(kms.exceptions, name, None)
        caught = typed is not None and isinstance(error, typed)
        return 'caught' if caught else '%s: %s' % (error.response['Error']['Code'], error.response['Error']['Message'])


def pages():
    """Paginators walk markers."""
    kms = client()
    key = kms.create_key(Tags=[{'TagKey': 'tag%d' % n, 'TagValue': ''} for n in range(7)])['KeyMetadata']['KeyId']
    for number in range(7):
        kms.create_alias(AliasName='alias/page-%d' % number, TargetKeyId=key)
    root = kms.describe_key(KeyId=key)['KeyMetadata']['Arn'].split(':key/')[0].replace(':kms:' + REGION, ':iam:') + ':root'
    for _ in range(5):
        kms.create_grant(KeyId=key, GranteePrincipal=root, RetiringPrincipal=root, Operations=['Decrypt'])
        kms.create_key()

    def walk(operation, member, **parameters):
        found = list(kms.get_paginator(operation).paginate(PaginationConfig={'PageSize': 2}, **parameters))
        return [len(page[member]) for page in found]

    return {
        'keys': sum(walk('list_keys', 'Keys')) == len(kms.list_keys(Limit=1000)['Keys']),
        'aliases': walk('list_aliases', 'Aliases', KeyId=key),
        'grants': walk('list_grants', 'Grants', KeyId=key),
        'retirable': walk('list_retirable_grants', 'Grants', RetiringPrincipal=root),
        'tags': walk('list_resource_tags', 'Tags', KeyId=key),
        'policies': walk('list_key_policies', 'PolicyNames', KeyId=key),
    }


def presigned():
    """URLs that somebody else sends: STS by GET, KMS by POST with the headers that were signed.

    botocore signs an empty body, and the JSON protocol has no such call: a signature that holds is refused for the body alone.
    """
    def send(url, method, headers):
        request = urllib.request.Request(url, method=method, headers=headers, data=b'' if method == 'POST' else None)
        with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=CA_FILE)) as answer:
            return answer.read().decode()

    identity = send(client('sts').generate_presigned_url('get_caller_identity', HttpMethod='GET'), 'GET', {})
    kms = client()
    url = kms.generate_presigned_url('list_keys', HttpMethod='POST')
    signed = {'X-Amz-Target': 'TrentService.ListKeys', 'Content-Type': 'application/x-amz-json-1.1'}

    def refusal(headers):
        try:
            return send(url, 'POST', headers)
        except urllib.error.HTTPError as error:
            return json.loads(error.read())['__type']

    return {'identity': identity, 'signedAction': refusal(signed),
            'otherAction': refusal({**signed, 'X-Amz-Target': 'TrentService.CreateKey'})}


def throttled():
    """botocore waits and asks again when it is told to slow down."""
    patient = client(config=Config(retries={'mode': 'standard', 'max_attempts': 6}))
    retries = sum(patient.list_aliases()['ResponseMetadata']['RetryAttempts'] for _ in range(10))
    impatient = client(config=Config(retries={'mode': 'standard', 'max_attempts': 1}))
    codes = set()
    for _ in range(10):
        try:
            impatient.list_aliases()
        except ClientError as error:
            codes.add(error.response['Error']['Code'])
    return {'retried': retries > 0, 'codes': sorted(codes)}


def role():
    """A profile with role_arn and source_profile; the session's credentials call KMS."""
    session = botocore.session.get_session()
    session.set_config_variable('profile', 'operator')
    provider = AssumeRoleProvider(
        lambda: session.full_config,
        # The provider asks the STS of AWS unless it is told where ours is.
        client,
        cache={}, profile_name='operator')
    credentials = provider.load()
    frozen = credentials.get_frozen_credentials()
    session_settings = {'aws_access_key_id': frozen.access_key, 'aws_secret_access_key': frozen.secret_key,
                        'aws_session_token': frozen.token}
    kms = client(**session_settings)
    key = kms.create_key()['KeyMetadata']['KeyId']
    blob = kms.encrypt(KeyId=key, Plaintext=b'as a role')['CiphertextBlob']
    return {
        'method': credentials.method,
        'identity': client('sts', **session_settings).get_caller_identity()['Arn'],
        'plaintext': kms.decrypt(CiphertextBlob=blob)['Plaintext'].decode(),
    }


print(json.dumps(globals()[CASE](), default=str))
