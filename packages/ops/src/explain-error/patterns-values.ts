/**
 * Messages about stored values: prefixes, ciphers, frames, objects.
 *
 * Sources: k8s.io/apiserver `storage/value`, `storage/value/encrypt/{aes,secretbox,identity,envelope}`, `storage/etcd3`,
 * `storage/cacher`, crypto/cipher and crypto/aes of Go, k8s.io/apimachinery `runtime/serializer`.
 */
import type { ErrorPattern } from './pattern.js';

const VERIFY = 'waxseal verify --etcd URL --encryption-config FILE';
const VERIFY_ALL = `${VERIFY} --all`;
const SCAN = 'waxseal scan --etcd URL';

export const valuePatterns: readonly ErrorPattern[] = [
  {
    id: 'no-matching-prefix',
    pattern: /no matching prefix found/,
    cause:
      'No provider of the configuration that this API server uses for the resource reads the value: its provider or KMS name was removed or renamed, the resource stands under another rule, or it is plaintext and identity is missing.',
    fix: 'Put the provider back, after the first one; for plaintext add identity as the last one. Remove a provider only after a rewrap that a scan proves complete.',
    commands: [SCAN, VERIFY, 'waxseal lint FILE --against OLDFILE'],
  },
  {
    id: 'no-matching-key',
    pattern: /no matching key was found for the provided (AES|Secretbox) transformer/,
    cause:
      'The provider is configured, but has no key of the name that the value was written with: the key was removed or renamed, or this API server has not loaded the file that has it.',
    fix: 'Put the key back under its old name, after the first one, on every API server; then rewrap.',
    commands: [SCAN, VERIFY],
  },
  {
    id: 'identity-encrypted',
    pattern: /identity transformer tried to read encrypted data/,
    cause:
      'The value is encrypted, and this API server has only identity for its resource: it runs without --encryption-provider-config, or with one that does not cover the resource.',
    fix: 'Start every API server with the same configuration; check which resources it names.',
    commands: [SCAN, 'waxseal lint FILE'],
  },
  {
    id: 'cbc-padding',
    pattern: /invalid padding on input|invalid PKCS7 data \(empty or not padded\)/,
    cause:
      'AES-CBC deciphered to noise: the key of that name is not the one that wrote the value (the secret was changed under the same name), or the bytes were changed.',
    fix: 'Put the old secret back, and give a new secret a new name; if only single values fail, restore those from a backup.',
    commands: [VERIFY_ALL],
  },
  {
    id: 'authentication-failed',
    pattern: /cipher: message authentication failed/,
    cause:
      'AES-GCM refuses the value: another key under the same name, changed bytes, or a value that lies under another storage key than it was written to (copied, or another --etcd-prefix).',
    fix: 'Let verify tell these apart; put the old key back, or move the value back, or restore it from a backup.',
    commands: [VERIFY_ALL],
  },
  {
    id: 'secretbox-failed',
    pattern: /output array was not large enough for encryption/,
    cause:
      'secretbox refuses the value, in misleading words: another key under the same name, or changed bytes.',
    fix: 'Put the old key back; if only single values fail, restore those from a backup.',
    commands: [VERIFY_ALL],
  },
  {
    id: 'cbc-block-size',
    pattern: /the stored data is not a multiple of the block size/,
    cause: 'An AES-CBC value was cut short.',
    fix: 'Restore the value from a backup of etcd.',
    commands: [VERIFY_ALL],
  },
  {
    id: 'value-too-short',
    pattern:
      /the stored data was shorter than the required size|the stored data is missing the required info prefix/,
    cause: 'The value was cut short: it has not even the bytes its format begins with.',
    fix: 'Restore the value from a backup of etcd.',
    commands: [VERIFY_ALL],
  },
  {
    id: 'kms-v1-frame',
    pattern: /failed to read uint16 length prefixed data/,
    cause: 'A KMS v1 value was cut short, or something else stands behind its prefix.',
    fix: 'Restore the value from a backup of etcd.',
    commands: [VERIFY_ALL],
  },
  {
    id: 'kms-v2-frame',
    pattern:
      /unknown encryptedDEKSourceType: |encrypted data is empty|encrypted object is nil|proto: cannot parse|proto: wrong wireType|cannot parse the EncryptedObject/,
    cause:
      'The protobuf of a KMS v2 value, or of an object, does not parse: cut or changed bytes, or a newer API server wrote it.',
    fix: 'Compare the versions of the API servers; else restore the value from a backup of etcd.',
    commands: [VERIFY_ALL],
  },
  {
    id: 'seed-length',
    pattern: /invalid seed length \d+ used for key generation|crypto\/aes: invalid key size \d+/,
    cause:
      'A key or DEK has an impossible length: the KMS returned something else than it was given, or a configured key is not 16, 24 or 32 bytes.',
    fix: 'Check the KMS plugin’s Decrypt, and the length of the configured keys.',
    commands: ['waxseal plugin explain --config FILE', 'waxseal lint FILE'],
  },
  {
    id: 'manifest-base64',
    pattern:
      /(cannot be handled as a Secret|error decoding from json|Secret\.data|unable to decode "[^"]*").{0,200}illegal base64 data at input byte \d+/s,
    cause:
      'A Secret’s manifest has something under data that is not base64. Encryption at rest is not concerned.',
    fix: 'Encode the value, or put it under stringData.',
    commands: [],
  },
  {
    id: 'key-base64',
    pattern:
      /(could not obtain secret for named key|keys\[\d+\]\.secret).{0,200}(illegal base64 data at input byte \d+|base64 encoded)/s,
    cause: 'The secret of a key in the EncryptionConfiguration is not base64.',
    fix: 'Write it as standard base64 of 32 random bytes, without quotes or a newline inside; on one line.',
    commands: ['waxseal config check FILE', 'waxseal generate key --out NEWFILE'],
  },
  {
    id: 'illegal-base64',
    pattern: /illegal base64 data at input byte \d+/,
    cause:
      'Something that should be base64 is not: the secret of a key in the EncryptionConfiguration, or data of a Secret’s manifest.',
    fix: 'When the API server said it at its start, mend the key; when kubectl said it, mend the manifest (or use stringData).',
    commands: ['waxseal config check FILE'],
  },
  {
    id: 'object-undecodable',
    pattern:
      /object not decodable|couldn't get version\/kind; json parse error|does not appear to be a protobuf message, expected prefix/,
    cause:
      'The value opened, but holds no object: AES-CBC under a wrong key may open into noise, or something else than an API server wrote it.',
    fix: 'Let verify list all such values; restore them from a backup of etcd.',
    commands: [`${VERIFY_ALL} --decode`],
  },
  {
    id: 'cipher-internal',
    pattern:
      /unable to read sufficient random bytes|failed to (derive (read|write) key|read a derived key) from KDF|failed to generate info for KDF|failed to KDF expand seed|failed to build transformer with KDF derived key|failed to write nonce for AES-GCM|NewGCM returned unexpected nonce size/,
    cause:
      'The API server’s own cryptography failed: no randomness, or a library that is not as it should be (a FIPS build, a container without entropy).',
    fix: 'Read the end of the message; check the machine’s random source and the build of the API server.',
    commands: [],
  },
  {
    id: 'unsupported-transformer',
    pattern: /the provided value does not match any of the supported transformers/,
    cause:
      'The API server has no transformer for this value: the configuration was loaded without providers for it.',
    fix: 'Check the configuration this API server was started with.',
    commands: [SCAN, 'waxseal lint FILE'],
  },
];

/** Says where a failure was met; another pattern says why. */
export const valueFramePatterns: readonly ErrorPattern[] = [
  {
    id: 'deleted-corrupt',
    pattern: /saw a DELETED event, but object data is corrupt/,
    cause: 'An object that cannot be read was deleted; watchers could not be told what it was.',
    fix: 'Restart controllers that cache the resource; look for further unreadable objects.',
    commands: [VERIFY_ALL],
  },
  {
    id: 'storage-initializing',
    pattern:
      /storage is \(re\)initializing|unexpected ListAndWatch error|storage not ready|watch cache isn't correctly initialized|failed to sync with latest state/,
    cause:
      'The watch cache of a resource cannot be filled. One object that cannot be read is enough: the whole resource then fails to list.',
    fix: 'Look for “unable to transform key” in the API server’s log, or let verify find the object; repair it or delete it with ignoreStoreReadErrorWithClusterBreakingPotential.',
    commands: [VERIFY_ALL],
  },
  {
    id: 'corrupt-object',
    pattern:
      /corrupt object|data from the storage is not transformable|unable to transform or decode \d+ objects|unable to transform key|unionTransformers: unable to transform from storage|failed to decrypt data|failed to prepare current and previous objects|too many errors, the list is truncated|Decoding \S+ \S+ failed|Cache consistency check (error|failed)/,
    cause: 'An object in storage cannot be read.',
    fix: 'Let verify list all such objects with their causes; repair them or restore them from a backup before anything deletes them.',
    commands: [VERIFY_ALL],
  },
  {
    id: 'unsafe-delete',
    pattern: /ignoreStoreReadErrorWithClusterBreakingPotential/,
    cause:
      'An object that cannot be read was to be deleted unread. That option works only for such objects, only alone, and needs the verb unsafe-delete-ignore-read-errors.',
    fix: 'Make sure that the object is lost and not merely without its key: then nothing of it comes back.',
    commands: [VERIFY_ALL],
  },
  {
    id: 'not-encrypted',
    pattern: /failed to encrypt data/,
    cause: 'A write failed because its value could not be encrypted.',
    fix: 'Explain the error that stands in the same line of the log.',
    commands: [],
  },
  {
    id: 'deadline',
    pattern: /context deadline exceeded|request timeout/,
    cause: 'Something did not answer in time: etcd, or a KMS plugin when the message names one.',
    fix: 'Look at the latency of etcd (etcdctl endpoint status) and of the KMS plugin (its metrics).',
    commands: ['waxseal plugin explain --config FILE'],
  },
];
