/**
 * Goal: every message the encryption path of kube-apiserver can produce is explained, as the right one. Method: the messages as it
 * prints them (the format strings of k8s.io/apiserver 0.36 filled in, with what kubectl and klog put around them).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { errorPatterns, explainError } from './explain-error.js';

const HASH = `sha256:${'ab'.repeat(32)}`;
const internal = (text: string): string =>
  `Error from server (InternalError): Internal error occurred: ${text}`;
const probe = (text: string): string =>
  `E1122 10:11:12.131415       1 config.go:809] "kms plugin failed health check probe" err="${text}" name="vault"`;
const dial = (why: string): string =>
  `rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial unix /run/kms/kms.sock: connect: ${why}"`;

/** `[the first explanation, the message]`. */
const MESSAGES: readonly (readonly [string, string])[] = [
  ['cipher-internal', internal('unable to read sufficient random bytes')],
  ['cipher-internal', internal('failed to derive read key from KDF: failed to KDF expand seed with info: x')],
  ['config-key-unusable', 'error while creating cipher for named key key1: something'],
  ['config-unreadable', 'error while building transformers: something'],
  ['kms-never-healthy', internal('got unexpected zero expirationTimestamp')],
  ['kms-healthz-section', probe('something')],
  ['kms-version-unsupported', 'failed get version from remote KMS provider: something'],
  ['corrupt-object', 'failed to prepare current and previous objects: something'],
  ['no-matching-prefix', internal('no matching prefix found')],
  [
    'no-matching-prefix',
    internal('unable to transform key "/registry/secrets/default/db": no matching prefix found'),
  ],
  ['no-matching-key', internal('no matching key was found for the provided AES transformer')],
  ['no-matching-key', internal('no matching key was found for the provided Secretbox transformer')],
  ['identity-encrypted', internal('identity transformer tried to read encrypted data')],
  ['cbc-padding', internal('invalid padding on input')],
  ['cbc-padding', internal('invalid PKCS7 data (empty or not padded)')],
  [
    'authentication-failed',
    'E1122 10:11:12.131415       1 transformer.go:163] "failed to decrypt data" err="cipher: message authentication failed"',
  ],
  [
    'authentication-failed',
    '[cipher: message authentication failed, the stored data is not a multiple of the block size]',
  ],
  ['secretbox-failed', internal('output array was not large enough for encryption')],
  ['cbc-block-size', internal('the stored data is not a multiple of the block size')],
  ['value-too-short', internal('the stored data was shorter than the required size')],
  ['value-too-short', internal('the stored data is missing the required info prefix')],
  [
    'kms-v1-frame',
    internal('invalid data encountered by envelope transformer: failed to read uint16 length prefixed data'),
  ],
  ['kms-v2-frame', internal('unknown encryptedDEKSourceType: 7')],
  ['kms-v2-frame', internal('encrypted data is empty')],
  ['kms-v2-frame', internal('proto: cannot parse invalid wire-format data')],
  ['seed-length', internal('invalid seed length 31 used for key generation')],
  ['seed-length', internal('crypto/aes: invalid key size 33')],
  [
    'manifest-base64',
    'Error from server (BadRequest): error when creating "secret.yaml": Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 3',
  ],
  [
    'key-base64',
    'error while building transformers: could not obtain secret for named key key1: illegal base64 data at input byte 3',
  ],
  ['illegal-base64', 'illegal base64 data at input byte 3'],
  ['object-undecodable', 'object not decodable revision=17: yaml: control characters are not allowed'],
  [
    'object-undecodable',
    "couldn't get version/kind; json parse error: invalid character 'k' looking for beginning of value",
  ],
  ['unsupported-transformer', 'the provided value does not match any of the supported transformers'],
  [
    'corrupt-object',
    'StorageError: corrupt object, Code: 7, Key: /registry/secrets/default/db, ResourceVersion: 0, AdditionalErrorMsg: data from the storage is not transformable revision=42: x',
  ],
  ['corrupt-object', 'unable to transform or decode 3 objects: {\n\t…\n}'],
  [
    'deleted-corrupt',
    'saw a DELETED event, but object data is corrupt - data from the storage is not transformable revision=3: x',
  ],
  ['storage-initializing', 'Error from server (TooManyRequests): storage is (re)initializing'],
  [
    'no-matching-prefix',
    'storage is (re)initializing: failed to list *core.Secret: unable to transform key "/registry/secrets/a/b": no matching prefix found',
  ],
  [
    'not-encrypted',
    'E1122 10:11:12.131415       1 transformer.go:178] "failed to encrypt data" err="something"',
  ],
  [
    'deadline',
    'Error from server (Timeout): Timeout: request did not complete within requested timeout - context deadline exceeded',
  ],
  [
    'kms-write-state-expired',
    internal(
      `encryptedDEKSource with keyID hash "${HASH}" expired at 2026-11-22T10:00:00Z (current time is 2026-11-22T10:03:00Z)`,
    ),
  ],
  [
    'kms-key-id-mismatch',
    `failed to rotate DEK uid="u", useSeed=true, errState=<nil>, errGen=<nil>, statusKeyIDHash="${HASH}", encryptKeyIDHash="sha256:00", stateKeyIDHash="", expirationTimestamp=2026-11-22T10:00:00Z`,
  ],
  ['kms-never-healthy', internal('got unexpected nil transformer')],
  ['kms-healthz', probe('kmsv2 Provider vault is not healthy, error: got unexpected healthz status: sealed')],
  [
    'kms-version-changed',
    probe(
      'kmsv2 Provider vault is not healthy, error: KMSv2 API version should not change after the initial status response version v2beta1, got v2',
    ),
  ],
  [
    'kms-version-unsupported',
    probe('kmsv2 Provider vault is not healthy, error: expected KMSv2 API version v2, got v1beta1'),
  ],
  [
    'kms-version-unsupported',
    'KMS provider api version v1alpha1 is not supported, only v1beta1 is supported now',
  ],
  [
    'kms-key-id-invalid',
    probe('kmsv2 Provider vault is not healthy, error: got invalid KMSv2 KeyID hash "": keyID is empty'),
  ],
  [
    'kms-answer-too-large',
    'failed to validate encrypted DEK source: encrypted DEK source is 1500 bytes, which exceeds the max size of 1024',
  ],
  [
    'kms-answer-too-large',
    'failed to validate annotations: annotations: Invalid value: "x": should be a domain with at least two segments separated by dots',
  ],
  [
    'kms-socket-absent',
    probe(
      `failed to perform status section of the healthz check for KMS Provider vault, error: ${dial('no such file or directory').replaceAll('"', '\\"')}`,
    ),
  ],
  ['kms-socket-refused', internal(`failed to decrypt DEK, error: ${dial('connection refused')}`)],
  ['kms-socket-permission', dial('permission denied')],
  [
    'kms-unavailable',
    'E1122 10:11:12.131415       1 grpc_service.go:75] "failed to create connection to unix socket" err="x" addr="/run/kms/kms.sock"',
  ],
  [
    'kms-timeout',
    internal(
      'failed to decrypt DEK, error: rpc error: code = DeadlineExceeded desc = context deadline exceeded',
    ),
  ],
  ['kms-unimplemented', 'rpc error: code = Unimplemented desc = unknown service v2.KeyManagementService'],
  ['kms-refused-ciphertext', 'rpc error: code = InvalidArgument desc = the ciphertext is damaged'],
  ['kms-key-unusable', 'rpc error: code = FailedPrecondition desc = the key cannot be used'],
  ['kms-call-failed', 'rpc error: code = Unknown desc = no'],
  ['kms-throttled', 'rpc error: code = Internal desc = failed to decrypt ThrottlingException: Rate exceeded'],
  [
    'kms-denied',
    'rpc error: code = Internal desc = failed to decrypt AccessDeniedException: User is not authorized to perform kms:Decrypt',
  ],
  ['kms-denied', 'rpc error: code = PermissionDenied desc = no'],
  [
    'kms-key-disabled',
    'rpc error: code = Internal desc = DisabledException: arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab is disabled.',
  ],
  [
    'kms-key-pending-deletion',
    'rpc error: code = Internal desc = KMSInvalidStateException: arn:aws:kms:eu-west-1:111122223333:key/1234 is pending deletion.',
  ],
  ['kms-wrong-key', 'rpc error: code = Internal desc = failed to decrypt InvalidCiphertextException: '],
  ['kms-key-gone', 'rpc error: code = Internal desc = NotFoundException: Key does not exist'],
  [
    'kms-healthz-section',
    'failed to perform encrypt section of the healthz check for KMS Provider vault, error: something',
  ],
  ['kms-readyz', '[+]etcd ok\n[-]kms-provider-0 failed: reason withheld\nreadyz check failed'],
  ['dek-not-unwrapped', 'failed to decrypt DEK, error: something'],
  ['dek-not-wrapped', 'failed to encrypt DEK, error: something'],
  ['config-masked', 'error while building transformers: resource "secrets" is masked by earlier rule "*."'],
  [
    'config-resources',
    "resources[0].resources[1]: Invalid value: \"events.events.k8s.io\": '*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file",
  ],
  [
    'config-resources',
    'resources[0].resources: Invalid value: []string{"secrets", "secrets"}: the same resource cannot be specified multiple times',
  ],
  [
    'config-key-length',
    'resources[0].providers[0].aescbc.keys[0].secret: Invalid value: "REDACTED": secret is not of the expected length, got 44, expected one of [16 24 32]',
  ],
  ['config-key-length', 'expected key size 32 for secretbox provider, got 31'],
  ['config-key-base64', 'secrets must be base64 encoded'],
  [
    'config-provider',
    'resources[0].providers[0]: Invalid value: "x": more than one provider specified in a single element, should split into different list elements',
  ],
  [
    'config-kms',
    'resources[0].providers[0].kms.endpoint: Invalid value: "http://x": unsupported scheme "http" for KMS provider, only unix is supported',
  ],
  [
    'config-kms',
    'resources[0].providers[1].kms.name: Invalid value: "vault": duplicate KMS provider name vault, names must be unique',
  ],
  [
    'config-kms-v1',
    'KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead.  Set --feature-gates=KMSv1=true to use the deprecated KMSv1 feature.',
  ],
  ['config-kms-probe', 'could not configure KMSv2-Plugin\'s probe "vault", error: x'],
  ['config-reload-health', 'health check for new transformers failed, polling error <nil>: x'],
  ['config-reload', 'error processing encryption config file /etc/enc.yaml: x'],
  [
    'config-unreadable',
    'error while parsing file: error while loading file: encryption provider configuration file "/etc/enc.yaml" is empty',
  ],
  [
    'config-unreadable',
    'error decoding encryption provider configuration file "/etc/enc.yaml": no kind "X" is registered',
  ],
];

test('every message is explained, the cause first', () => {
  for (const [id, message] of MESSAGES) {
    assert.equal(explainError(message).explanations[0]?.id, id, message);
  }
});

test('every pattern has a message that it explains, an id of its own, and says what to do', () => {
  const tried = new Set(MESSAGES.map(([id]) => id));
  assert.deepEqual(
    errorPatterns.map(({ id }) => id).filter((id) => !tried.has(id)),
    [],
  );
  assert.equal(new Set(errorPatterns.map(({ id }) => id)).size, errorPatterns.length);
  for (const { id, cause, fix } of errorPatterns) {
    assert.match(cause, /\.$/, id);
    assert.match(fix, /\.$/, id);
  }
});

test('where it was met is said behind the cause', () => {
  const { explanations } = explainError(
    internal(
      'unable to transform key "/registry/secrets/default/db": failed to decrypt DEK, error: rpc error: code = Unavailable desc = x',
    ),
  );
  assert.deepEqual(
    explanations.map(({ id }) => id),
    ['kms-unavailable', 'dek-not-unwrapped', 'corrupt-object'],
  );
});

test('object, provider, key and socket are found in the text', () => {
  const subjects: readonly (readonly [string, object])[] = [
    [
      internal('unable to transform key "/registry/secrets/default/db": no matching prefix found'),
      { key: '/registry/secrets/default/db' },
    ],
    [
      'StorageError: corrupt object, Code: 7, Key: /registry/secrets/a/b, ResourceVersion: 0',
      { key: '/registry/secrets/a/b' },
    ],
    ['unable to transform key \\"/clusters/one/secrets/a/b\\": x', { key: '/clusters/one/secrets/a/b' }],
    [probe('kmsv2 Provider vault is not healthy, error: x'), { provider: 'vault' }],
    ['no provider reads k8s:enc:kms:v2:cloud:', { provider: 'cloud' }],
    ['no provider reads k8s:enc:aescbc:v1:key1:', { provider: 'k8s:enc:aescbc:v1:key1' }],
    [`encryptedDEKSource with keyID hash "${HASH}" expired at`, { keyId: HASH }],
    [
      'arn:aws:kms:eu-west-1:111122223333:key/1234 is disabled',
      { keyId: 'arn:aws:kms:eu-west-1:111122223333:key/1234' },
    ],
    [dial('connection refused'), { socket: '/run/kms/kms.sock', grpcCode: 'Unavailable' }],
  ];
  for (const [text, subject] of subjects) assert.deepEqual(explainError(text).subject, subject, text);
});

test('what is not known is not explained', () => {
  assert.deepEqual(explainError('Error from server (NotFound): secrets "a" not found').explanations, []);
  fc.assert(
    fc.property(fc.string(), (text) => {
      assert.deepEqual(explainError(text).explanations, []);
    }),
    { seed: 20_261_122 },
  );
});

test('a long text costs no time', () => {
  const text = 'keys[0].secret " dial unix Secret.data unable to decode "'.repeat(100_000);
  assert.deepEqual(explainError(text).explanations, []);
});
