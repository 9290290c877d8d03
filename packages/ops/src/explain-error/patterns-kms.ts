/**
 * Messages about the KMS plugin: calls, health, key IDs.
 *
 * Sources: k8s.io/apiserver `storage/value/encrypt/envelope/**` and `server/options/encryptionconfig`, google.golang.org/grpc `status`
 * and `internal/transport`, the error references of the key services. Specific ones stand first.
 */
import type { ErrorPattern } from './pattern.js';

const LOOK = 'waxseal plugin explain --config FILE';
const VERIFY = 'waxseal verify --etcd URL --encryption-config FILE';

/** What the key service behind the plugin says. */
const keyService: readonly ErrorPattern[] = [
  {
    id: 'kms-key-pending-deletion',
    pattern:
      /KMSInvalidStateException|pending ?(deletion|import)|scheduled for destruction|DESTROY_SCHEDULED/i,
    cause: 'The key of the KMS is scheduled for deletion or has no key material.',
    fix: 'Cancel the deletion at once (aws kms cancel-key-deletion, gcloud kms keys versions restore) or import the material again: when it is gone, everything under it is lost.',
    commands: ['waxseal retire --key KEYID --etcd URL', VERIFY],
  },
  {
    id: 'kms-key-disabled',
    pattern:
      /DisabledException|KeyDisabled|key .{0,80}is (disabled|not enabled)|is not enabled, current state is: DISABLED/i,
    cause: 'The key of the KMS is disabled.',
    fix: 'Enable it; nothing is lost.',
    commands: [VERIFY],
  },
  {
    id: 'kms-wrong-key',
    pattern:
      /InvalidCiphertextException|IncorrectKeyException|key not in keyring|Decryption failed: the ciphertext is invalid/,
    cause:
      'The KMS did not make this wrapped DEK with the key the plugin asks it to use: another key, region, account or encryption context.',
    fix: 'Point the plugin at the key that wrote the value, or add it as a key to read with; the keyID stored with the value names it.',
    commands: ['waxseal scan --etcd URL', VERIFY],
  },
  {
    id: 'kms-denied',
    pattern:
      /AccessDenied(Exception)?|UnrecognizedClientException|ExpiredToken(Exception)?|InvalidClientTokenId|code = PermissionDenied|code = Unauthenticated|not authorized to perform|permission denied on resource/,
    cause:
      'The key service refuses the plugin: its identity may not use the key, or its credentials have expired.',
    fix: 'Allow the plugin’s identity encrypt, decrypt and describe on the key, or renew its credentials; reads of cached DEKs go on for at most a day.',
    commands: ['waxseal kms explain-access --principal ARN --action kms:Decrypt --key KEYID', LOOK],
  },
  {
    id: 'kms-key-gone',
    pattern: /NotFoundException|KeyNotFound|code = NotFound/,
    cause: 'The key service does not know the key: deleted, another region or account, or a changed name.',
    fix: 'Check key, region and account of the plugin; restore the key from its backup if it was deleted. An escrow recipient reads without it.',
    commands: ['waxseal plugin recover-dek --identity FILE --object --out NEWFILE', VERIFY],
  },
  {
    id: 'kms-throttled',
    pattern:
      /ThrottlingException|LimitExceededException|code = ResourceExhausted|429 Too Many Requests|rate ?limit/i,
    cause:
      'The key service limits the rate of calls. KMS v1 makes one call for every DEK, so a restart asks for all of them.',
    fix: 'Ask for a higher quota; move from KMS v1 to v2, which needs one call for each DEK source.',
    commands: [
      'waxseal scan --etcd URL',
      'waxseal generate migration --from FILE --to kms --kms-endpoint unix:///run/waxseal/kms.sock --out phases',
    ],
  },
];

/** The socket between API server and plugin. */
const socket: readonly ErrorPattern[] = [
  {
    id: 'kms-socket-absent',
    pattern: /dial unix \S*: connect: no such file or directory/,
    cause:
      'There is no socket at the configured endpoint: the plugin does not run, or listens elsewhere, or its folder is not mounted into the API server’s pod.',
    fix: 'Start the plugin, compare its --listen with the endpoint of the configuration, and mount the folder (not the socket) as a hostPath.',
    commands: [LOOK],
  },
  {
    id: 'kms-socket-refused',
    pattern: /dial unix \S*: connect: connection refused/,
    cause: 'The socket file is there, but nobody listens on it: the plugin ended without removing it.',
    fix: 'Start the plugin and read its log for why it ended.',
    commands: [LOOK],
  },
  {
    id: 'kms-socket-permission',
    pattern: /dial unix \S*: connect: permission denied/,
    cause: 'The API server may not open the socket.',
    fix: 'Run the plugin as the API server’s user, or give it --socket-group and put the API server into that group.',
    commands: [LOOK],
  },
  {
    id: 'kms-unavailable',
    pattern:
      /code = Unavailable|failed to create connection to unix socket|failed to create connection to \S+, error|The KMS plugin at \S+ is not available/,
    cause: 'The KMS plugin does not answer on its socket.',
    fix: 'Check that it runs and listens on the configured endpoint, and read its log.',
    commands: [LOOK],
  },
  {
    id: 'kms-timeout',
    pattern: /code = DeadlineExceeded|The KMS plugin at \S+ did not answer/,
    cause:
      'The plugin did not answer within the timeout of its provider (3 s unless configured): the key service is slow, or the plugin cannot reach it.',
    fix: 'Check network, DNS and proxy between plugin and key service; raise the timeout of the provider only after that.',
    commands: [LOOK],
  },
  {
    id: 'kms-unimplemented',
    pattern: /code = Unimplemented/,
    cause:
      'The plugin does not serve this version of the KMS API: the provider’s apiVersion (v1 or v2) is not the plugin’s.',
    fix: 'Set the apiVersion the plugin serves, or update the plugin.',
    commands: [LOOK],
  },
  {
    id: 'kms-refused-ciphertext',
    pattern: /code = InvalidArgument/,
    cause:
      'The plugin does not recognise the wrapped DEK: another plugin or key made it, or its bytes were changed.',
    fix: 'Find which keyID the value names, and run the plugin with that key as one to read with.',
    commands: ['waxseal scan --etcd URL', VERIFY],
  },
  {
    id: 'kms-key-unusable',
    pattern: /code = FailedPrecondition/,
    cause:
      'The plugin says that the key cannot be used as it is: disabled, pending deletion, or not among its keys.',
    fix: 'Read the words behind the code and the plugin’s log; bring the key back into use.',
    commands: [LOOK, VERIFY],
  },
  {
    id: 'kms-call-failed',
    pattern: /rpc error: code = (Internal|Unknown|Aborted|DataLoss|OutOfRange|Canceled|AlreadyExists)/,
    cause: 'The KMS plugin failed the call without saying which kind of failure it is.',
    fix: 'Read the plugin’s log at that time; the words behind “desc =” are its own.',
    commands: [LOOK],
  },
];

/** Health and key rotation of KMS v2, and of v1. */
const health: readonly ErrorPattern[] = [
  {
    id: 'kms-write-state-expired',
    // As the message has it, and as people call it.
    pattern:
      /encryptedDEKSource with keyID hash \S+ expired at|\bexpired (encryptedDEKSource|EDEK)\b|\b(encryptedDEKSource|EDEK)\b[^;]{0,80}\bexpired\b/i,
    cause:
      'The API server may not write any more: no good Status of the KMS v2 plugin for three minutes. Reads go on.',
    fix: 'Find out why the plugin is unhealthy (kms-providers in /readyz, the plugin’s log); writes go on by themselves when it answers again.',
    commands: [LOOK],
  },
  {
    id: 'kms-key-id-mismatch',
    pattern: /failed to rotate DEK uid=/,
    cause:
      'Status names another keyID than Encrypt returned, or Encrypt failed, so the API server kept its old DEK; it stops writing when that expires.',
    fix: 'Compare statusKeyIDHash and encryptKeyIDHash: when they stay different, the plugin’s rotation is not consistent (several replicas, an alias that moved). When errGen is set, it says why Encrypt failed.',
    commands: [LOOK],
  },
  {
    id: 'kms-never-healthy',
    pattern:
      /got unexpected (?:nil transformer|zero expirationTimestamp|empty cacheKey)|The KMS plugin has not given a key to write with yet/i,
    cause:
      'The KMS v2 plugin has not been healthy once since the API server started, so objects under it can be neither read nor written.',
    fix: 'Make the plugin answer Status and Encrypt; start it before the API server.',
    commands: [LOOK],
  },
  {
    id: 'kms-healthz',
    pattern: /got unexpected healthz status: /,
    cause: 'The plugin answers Status, but says that it is not healthy; its reason stands behind the words.',
    fix: 'Follow the reason, and read the plugin’s log.',
    commands: [LOOK],
  },
  {
    id: 'kms-version-changed',
    pattern: /KMSv2 API version should not change after the initial status response version/,
    cause:
      'The plugin was replaced under a running API server by one that reports another version (v2beta1 and v2).',
    fix: 'Let the new plugin report the old version, or restart the API server.',
    commands: [
      'waxseal plugin aws --status-version v2beta1 --key KEYID --listen unix:///run/waxseal/kms.sock',
    ],
  },
  {
    id: 'kms-version-unsupported',
    pattern:
      /expected KMSv2 API version \S+ got|KMS provider api version \S+ is not supported|failed get version from remote KMS provider/,
    cause: 'The plugin reports a version of the KMS API that this API server does not speak.',
    fix: 'Update the plugin, or set the provider’s apiVersion to the one it serves.',
    commands: [LOOK],
  },
  {
    id: 'kms-key-id-invalid',
    pattern:
      /got invalid KMSv2 KeyID hash|failed to validate key id|keyID is empty|keyID is \d+ bytes, which exceeds/,
    cause:
      'The keyID is empty or longer than 1024 bytes: the plugin’s answer, or the stored value, is not valid.',
    fix: 'Update or configure the plugin; for a stored value, restore it from a backup.',
    commands: [LOOK, VERIFY],
  },
  {
    id: 'kms-answer-too-large',
    pattern:
      /encrypted DEK source is \d+ bytes, which exceeds|total size of annotations is \d+|encrypted DEK source is empty|failed to validate (encrypted DEK source|annotations)|got invalid EncryptedObject/,
    cause:
      'What the plugin returned for a DEK breaks a limit of KMS v2: 1..1024 bytes wrapped, 32 KiB of annotations, annotation keys that are domain names.',
    fix: 'Update or configure the plugin (fewer recipients, a smaller wrapping).',
    commands: [LOOK],
  },
  {
    id: 'kms-healthz-section',
    pattern:
      /failed to perform (encrypt|decrypt|status) section of the healthz check for KMS Provider|kmsv2 Provider \S+ is not healthy|kms plugin failed health check probe/,
    cause: 'The health check of a KMS plugin fails; the reason stands behind “error:”.',
    fix: 'Follow the reason; /livez does not depend on it, /readyz does.',
    commands: [LOOK],
  },
  {
    id: 'kms-readyz',
    pattern: /\[-\]kms-provider(s|-\d+) failed/,
    cause: 'The API server is not ready because a KMS plugin is unhealthy; /readyz withholds the reason.',
    fix: 'Look for “kms plugin failed health check probe” in the API server’s log, and explain that line.',
    commands: [LOOK],
  },
];

export const kmsPatterns: readonly ErrorPattern[] = [...keyService, ...socket, ...health];

/** Says which call failed; another pattern says why. */
export const kmsFramePatterns: readonly ErrorPattern[] = [
  {
    id: 'dek-not-unwrapped',
    pattern: /failed to decrypt DEK, error:/,
    cause: 'The KMS did not unwrap the DEK source of a stored value, so nothing under it can be read.',
    fix: 'Follow the reason behind “error:”; values under other DEK sources are not concerned.',
    commands: ['waxseal scan --etcd URL', VERIFY],
  },
  {
    id: 'dek-not-wrapped',
    pattern: /failed to encrypt DEK, error:/,
    cause: 'The KMS did not wrap a new DEK seed.',
    fix: 'Follow the reason behind “error:”; the API server writes on with its old seed for up to three minutes.',
    commands: [LOOK],
  },
];
