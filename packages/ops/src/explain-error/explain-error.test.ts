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
  ['etcd-space', 'rpc error: code = ResourceExhausted desc = etcdserver: mvcc: database space exceeded'],
  [
    'etcd-compacted',
    'rpc error: code = OutOfRange desc = etcdserver: mvcc: required revision has been compacted',
  ],
  ['etcd-compacted', 'Error from server (Expired): The resourceVersion for the provided watch is too old.'],
  ['etcd-future-revision', 'etcdserver: mvcc: required revision is a future revision'],
  ['etcd-request-too-large', 'rpc error: code = InvalidArgument desc = etcdserver: request is too large'],
  [
    'etcd-request-too-large',
    'rpc error: code = ResourceExhausted desc = trying to send message larger than max (3000000 vs. 2097152)',
  ],
  ['etcd-too-many-requests', 'rpc error: code = ResourceExhausted desc = etcdserver: too many requests'],
  ['etcd-permission', 'rpc error: code = PermissionDenied desc = etcdserver: permission denied'],
  ['etcd-permission', 'etcdserver: authentication failed, invalid user ID or password'],
  ['etcd-corrupt', 'rpc error: code = DataLoss desc = etcdserver: corrupt cluster'],
  ['etcd-no-leader', internal('etcdserver: leader changed')],
  [
    'etcd-no-leader',
    'rpc error: code = Unavailable desc = etcdserver: request timed out, possibly due to connection lost',
  ],
  ['etcd-no-leader', '[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed'],
  [
    'etcd-tls',
    'rpc error: code = Unavailable desc = connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority"',
  ],
  [
    'config-reload-flags',
    '--encryption-provider-config-automatic-reload must be set with --encryption-provider-config',
  ],
  [
    'unsafe-delete',
    'DeleteOptions.meta.k8s.io is invalid: ignoreStoreReadErrorWithClusterBreakingPotential: Invalid value: true: cannot be set together with dryRun',
  ],
  [
    'storage-initializing',
    'W1122 reflector.go:561] cacher (secrets): unexpected ListAndWatch error: something; reinitializing...',
  ],
  [
    'config-kms',
    'resources[0].providers[0].kms.cachesize: Invalid value: 7: cachesize is not supported in v2',
  ],
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
  ['kms-write-state-expired', 'expired encryptedDEKSource'],
  ['kms-write-state-expired', 'encryptedDEKSource expired'],
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

const idsOf = (text: string): readonly string[] => explainError(text).explanations.map(({ id }) => id);

test('lines of every logger, and what was quoted more than once', () => {
  const dialed = dial('connection refused');
  const quoted = (text: string): string => JSON.stringify(text).slice(1, -1);
  for (const text of [
    `{"ts":1700000000000.1,"caller":"config.go:809","msg":"kms plugin failed health check probe","err":"${quoted(dialed)}","name":"vault"}`,
    `{"log":"${quoted(`E1122 10:11:12.131415 1 config.go:809] "kms plugin failed health check probe" err="${quoted(dialed)}" name="vault"\n`)}","stream":"stderr"}`,
    probe(quoted(dialed)),
    `2026-11-22T10:11:12Z stderr F ${probe(quoted(dialed))}`,
  ]) {
    const { explanations, subject } = explainError(text);
    assert.equal(explanations[0]?.id, 'kms-socket-refused', text);
    assert.equal(subject.socket, '/run/kms/kms.sock', text);
  }
  assert.deepEqual(idsOf('{"err":"provider does not \\u003cx\\u003e: no matching prefix found"}'), [
    'no-matching-prefix',
  ]);
});

test('of several messages the deepest cause comes first, and is what the subject is about', () => {
  const paste = [
    'Error from server (InternalError): Internal error occurred: unable to transform key "/registry/secrets/a/first": context deadline exceeded',
    'I1122 10:11:12.131415       1 trace.go:236] Trace[1]: "List" (total time: 600ms)',
    internal('unable to transform key "/registry/secrets/b/second": no matching prefix found'),
    '',
  ];
  for (const text of [paste.join('\n'), paste.join('\r\n'), paste.toReversed().join('\n')]) {
    const { explanations, subject } = explainError(text);
    assert.deepEqual(
      explanations.map(({ id }) => id),
      ['no-matching-prefix', 'corrupt-object', 'deadline'].filter((id) => id !== 'deadline'),
    );
    assert.equal(subject.key, '/registry/secrets/b/second');
  }
});

test('what one message says of a call to etcd says nothing of a KMS in another', () => {
  assert.deepEqual(idsOf('rpc error: code = Unavailable desc = etcdserver: no leader'), ['etcd-no-leader']);
  assert.deepEqual(
    idsOf(
      'rpc error: code = Unavailable desc = etcdserver: no leader\nfailed to decrypt DEK, error: rpc error: code = Unavailable desc = x',
    ),
    ['etcd-no-leader', 'kms-unavailable', 'dek-not-unwrapped'],
  );
});

test('a message that a terminal wrapped is known all the same', () => {
  assert.deepEqual(idsOf('Internal error occurred: no matching\nprefix found'), ['no-matching-prefix']);
  assert.deepEqual(idsOf('Internal error occurred: no matching pre\nfix found'), ['no-matching-prefix']);
});

test('10 MB of anything have an answer at once', () => {
  const message = internal('no matching prefix found');
  const size = 10 * 1024 * 1024;
  const hostile: readonly string[] = [
    '\0'.repeat(size),
    '\\'.repeat(size),
    '\n'.repeat(size),
    'unable to transform key "'.repeat(size / 25),
    '/registry/'.repeat(size / 10),
    'KMS Provider '.repeat(size / 13),
    'key k unable to decode "x" '.repeat(size / 27),
    '\u001b]0;'.repeat(size / 4),
    Buffer.alloc(size, 0xff).toString('utf8'),
    Buffer.alloc(size, 0xff).toString('latin1'),
  ];
  for (const text of hostile) {
    const known = idsOf(text);
    assert.ok(!known.includes('no-matching-prefix'));
    assert.ok(idsOf(`${message}\n${text}`).includes('no-matching-prefix'));
    assert.ok(idsOf(`${text}\n${message}`).includes('no-matching-prefix'));
  }
  assert.deepEqual(explainError('').explanations, []);
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
