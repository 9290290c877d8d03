/**
 * Messages about the EncryptionConfiguration: at the start of an API server, and when it loads a changed file.
 *
 * Sources: k8s.io/apiserver `pkg/apis/apiserver/validation/validation_encryption.go`, `server/options/encryptionconfig` and its
 * `controller`.
 */
import type { ErrorPattern } from './pattern.js';

const CHECK = 'waxseal config check FILE';
const commands = [CHECK, 'waxseal lint FILE'];

export const configPatterns: readonly ErrorPattern[] = [
  {
    id: 'config-masked',
    pattern: /is masked by earlier rule/,
    cause:
      'A rule of the configuration stands behind a wildcard that covers it already, so it could never be meant.',
    fix: 'Move the rule of the single resource in front of the wildcard.',
    commands,
  },
  {
    id: 'config-resources',
    pattern:
      /'\*\.events\.k8s\.io' objects are stored|'extensions' group has been removed|use '\*\.' to encrypt all the resources|using overlapping resources such as|resources which do not have REST API\/s|resource name should not contain capital letters|encrypting the same resource across groups|the same resource cannot be specified multiple times/,
    cause:
      'The list of resources in the configuration is not allowed as it is; the message says which rule it breaks.',
    fix: 'Follow the message: name each resource once, in lower case, as resource.group, wildcards alone.',
    commands,
  },
  {
    id: 'config-key-length',
    pattern: /secret is not of the expected length, got \d+|expected key size 32 for secretbox provider, got/,
    cause:
      'A key has the wrong length: 16, 24 or 32 bytes for aescbc and aesgcm, 32 for secretbox, counted after base64 is decoded.',
    fix: 'Make a new key of 32 random bytes; do not encode text that is base64 already.',
    commands: ['waxseal generate key --out NEWFILE', CHECK],
  },
  {
    id: 'config-key-base64',
    pattern: /secrets must be base64 encoded/,
    cause: 'The secret of a key in the EncryptionConfiguration is not base64.',
    fix: 'Write standard base64 of 32 random bytes.',
    commands: ['waxseal generate key --out NEWFILE', CHECK],
  },
  {
    id: 'config-provider',
    pattern:
      /more than one provider specified in a single element|provider does not contain any of the expected providers|provider has no valid keys|key with invalid name provided|key \S+ has no provided secret/,
    cause: 'An element of providers must be exactly one provider, with named keys that have a secret.',
    fix: 'Mend the list: one `- name:` of a provider per element.',
    commands,
  },
  {
    id: 'config-kms',
    pattern:
      /unsupported scheme "?\S+"? for (remote )?KMS provider|invalid endpoint .{0,200}(KMS|kms) provider|can't use empty string as endpoint|duplicate KMS provider name|invalid KMS provider name|unsupported (KMS API version|apiVersion)|should be a positive value|is a mandatory field for a|cachesize is not supported in v2/,
    cause: 'A kms provider of the configuration is not valid; the message names the field.',
    fix: 'Endpoint unix:///path, a name of its own without a colon, apiVersion v2, timeout above 0.',
    commands,
  },
  {
    id: 'config-kms-v1',
    pattern: /KMSv1 is deprecated/,
    cause:
      'The configuration has a KMS v1 provider, which API servers from 1.29 on refuse unless told otherwise.',
    fix: 'Keep it readable with --feature-gates=KMSv1=true while you move to v2; a plugin can serve both on one socket.',
    commands: [
      'waxseal generate migration --from FILE --to kms --kms-endpoint unix:///run/waxseal/kms.sock --out phases',
    ],
  },
  {
    id: 'config-kms-probe',
    pattern: /could not configure KMS(v[12])?.{0,2}[Pp]lugin/,
    cause: 'The API server could not set up the connection to a KMS plugin.',
    fix: 'Check endpoint and apiVersion of the provider.',
    commands,
  },
  {
    id: 'config-reload-health',
    pattern: /health check for new transformers failed/,
    cause:
      'A changed configuration was not put in force, because a KMS plugin in it is not healthy. The old one stays in force.',
    fix: 'Make the plugin healthy; the API server tries again within a minute.',
    commands: ['waxseal plugin explain --config FILE'],
  },
  {
    id: 'config-reload',
    pattern: /error processing encryption config file|unexpected number of healthz checks/,
    cause:
      'A changed configuration was not put in force; the old one stays. Other API servers may have loaded it already.',
    fix: 'Mend the file on every server before the next step of a rotation.',
    commands,
  },
  {
    id: 'config-reload-flags',
    pattern:
      /--encryption-provider-config-automatic-reload must be set with|failed to start kms encryption config hot reload controller/,
    cause: 'The flags of the API server about reloading its EncryptionConfiguration do not fit each other.',
    fix: 'Give --encryption-provider-config with --encryption-provider-config-automatic-reload.',
    commands: [CHECK],
  },
  {
    id: 'config-key-unusable',
    pattern: /could not obtain secret for named key|error while creating (cipher|transformer) for named key/,
    cause:
      'A key of the configuration cannot be used: its secret is not base64, or of a length that no cipher takes.',
    fix: 'Write base64 of 32 random bytes as the secret of the key that the message names.',
    commands: ['waxseal generate key --out NEWFILE', CHECK],
  },
  {
    id: 'config-unreadable',
    pattern:
      /encryption provider configuration file "[^"]*"( is empty|:)|error (while parsing file|while loading file|while building transformers|decoding encryption provider configuration file|reading encryption provider configuration file)|got unexpected config type|EncryptionConfiguration can't be nil|at least one \S+ is required/,
    cause: 'The API server cannot read its EncryptionConfiguration, so it does not start.',
    fix: 'Check path, mount, permissions and YAML; kind EncryptionConfiguration of apiserver.config.k8s.io/v1.',
    commands,
  },
];
