/**
 * What lint finds, as data: a fixed id, how bad it is, where it stands, why it matters, what to do, and where the rule comes from.
 */

/** `error`: values are lost, or anybody can read them, or the file is refused. `warning`: weak. `info`: worth knowing. */
export type Severity = 'error' | 'warning' | 'info';

export interface Finding {
  readonly id: FindingId;
  readonly severity: Severity;
  /** Field path in the file, or in `previous:` the file before the change; empty when it has no one place. */
  readonly where: string;
  /** Never key material. */
  readonly why: string;
  /** What to do. */
  readonly fix: string;
  /** Where the rule comes from. */
  readonly source: string;
  /** The resources it concerns; absent when it concerns the file. */
  readonly resources?: readonly string[];
  /** Stored values it concerns; only when a source was read. */
  readonly values?: number;
}

interface Rule {
  readonly severity: Severity;
  readonly fix: string;
  readonly source: string;
}

const K8S_ENCRYPT = 'kubernetes.io/docs/tasks/administer-cluster/encrypt-data';
const K8S_KMS = 'kubernetes.io/docs/tasks/administer-cluster/kms-provider';
const K8S_SOURCE = 'k8s.io/apiserver pkg/server/options/encryptionconfig';
const WAXSEAL = 'docs/decisions/0100-operations.md';

/** Every id with what does not depend on the place. A finding may be milder or worse where more is known. */
const rules = {
  invalid: {
    severity: 'error',
    fix: 'Mend the field: kube-apiserver does not start with this file, and a running one keeps its old configuration.',
    source: 'k8s.io/apiserver pkg/apis/apiserver/validation',
  },
  'file-readable-by-others': {
    severity: 'error',
    fix: 'chmod 600 the file, and make new keys: these were open to every user of the machine.',
    source: `${K8S_ENCRYPT}: restrict access to the file`,
  },
  'file-writable-by-others': {
    severity: 'error',
    fix: 'chmod 600 the file and go-w its folder: who can write it chooses the keys.',
    source: `${K8S_ENCRYPT}: restrict access to the file`,
  },
  'key-well-known': {
    severity: 'error',
    fix: 'Make a key with `waxseal generate key` and migrate to it: this one stands in public documentation.',
    source: `${K8S_ENCRYPT}: example keys`,
  },
  'key-low-entropy': {
    severity: 'error',
    fix: 'Make a key with `waxseal generate key` and migrate to it: this one can be guessed.',
    source: 'NIST SP 800-133 §4',
  },
  'key-is-text': {
    severity: 'warning',
    fix: 'Make a key with `waxseal generate key`: a key of typed characters has less entropy than its length says.',
    source: 'NIST SP 800-133 §4',
  },
  'key-short': {
    severity: 'info',
    fix: 'Use 32 bytes for the next key.',
    source: `${K8S_ENCRYPT}: 32-byte keys`,
  },
  'key-shared': {
    severity: 'warning',
    fix: 'Give every key its own 32 random bytes: a rotation from one to the other changes nothing.',
    source: 'NIST SP 800-57 part 1 §5.2',
  },
  'key-name-repeated': {
    severity: 'warning',
    fix: 'Give every key a name of its own: the name in a value no longer says which key opens it.',
    source: `${K8S_SOURCE}: keys are found by name`,
  },
  'provider-repeated': {
    severity: 'info',
    fix: 'Remove the second one: it is never reached.',
    source: `${K8S_SOURCE}: providers are tried in order`,
  },
  'aescbc-writes': {
    severity: 'warning',
    fix: 'Write with kms v2 or secretbox; keep aescbc as a reader until everything is rewritten (`waxseal generate migration`).',
    source: `${K8S_ENCRYPT}: aescbc is weak (padding oracle)`,
  },
  'aescbc-reads': {
    severity: 'info',
    fix: 'Rewrite what is left under it (`waxseal rewrap`), then remove it.',
    source: `${K8S_ENCRYPT}: aescbc is weak (padding oracle)`,
  },
  'gcm-not-rotated': {
    severity: 'warning',
    fix: 'Use kms v2, which derives a key for every write, or rotate the key before 200,000 writes.',
    source: `${K8S_ENCRYPT}: aesgcm must be rotated every 200,000 writes; NIST SP 800-38D §8.3: 2^32 at most`,
  },
  'secretbox-no-aad': {
    severity: 'info',
    fix: 'Use kms v2 where somebody may write to etcd: it binds a value to its place.',
    source: `${K8S_SOURCE}: secretbox has no authenticated data`,
  },
  'static-beside-kms': {
    severity: 'warning',
    fix: 'Put the KMS provider first: this key lies in a file beside what it protects.',
    source: `${K8S_ENCRYPT}: locally managed keys`,
  },
  'static-key': {
    severity: 'info',
    fix: 'Use a KMS (kms v2) to keep the key away from the machine and its backups.',
    source: `${K8S_ENCRYPT}: locally managed keys`,
  },
  'identity-first': {
    severity: 'warning',
    fix: 'Put an encrypting provider first, unless this is the first step of a migration.',
    source: `${K8S_ENCRYPT}: identity writes plaintext`,
  },
  'identity-kept': {
    severity: 'info',
    fix: 'Remove identity once `waxseal scan` counts no plaintext: until then whoever writes to etcd can plant plaintext.',
    source: `${K8S_ENCRYPT}: ensure all secrets are encrypted`,
  },
  'plaintext-unreadable': {
    severity: 'error',
    fix: 'Put identity last until `waxseal rewrap` has rewritten the plaintext.',
    source: `${K8S_SOURCE}: what no provider reads is an error`,
  },
  'values-unreadable': {
    severity: 'error',
    fix: 'Put the provider back as a reader with the same name and key.',
    source: `${K8S_SOURCE}: what no provider reads is an error`,
  },
  'secrets-uncovered': {
    severity: 'warning',
    fix: 'Name secrets in an entry: they are stored as plaintext.',
    source: K8S_ENCRYPT,
  },
  'wildcard-gap': {
    severity: 'info',
    fix: "Name them, or end the file with an entry for '*.*' (with events in an entry of identity alone before it).",
    source: `${K8S_ENCRYPT}: use wildcards`,
  },
  'busy-resource-encrypted': {
    severity: 'info',
    fix: 'Name them in an earlier entry with identity alone if their writes cost too much; they hold no secrets.',
    source: `${K8S_ENCRYPT}: opting out`,
  },
  'resource-repeated': {
    severity: 'warning',
    fix: 'Name the resource once: the providers of the later entry never write, they only read.',
    source: `${K8S_SOURCE}: providers of several entries are joined`,
  },
  'kms-v1': {
    severity: 'warning',
    fix: 'Move to apiVersion v2 (`waxseal generate migration --to kms`): v1 is deprecated since 1.28 and off since 1.29.',
    source: K8S_KMS,
  },
  'kms-v1-before-v2': {
    severity: 'warning',
    fix: 'Put the v2 provider first once every API server has this file: as it is v1 still writes.',
    source: K8S_KMS,
  },
  'kms-name-reused': {
    severity: 'error',
    fix: 'Give each KMS provider a name of its own: the name in a value must lead to one plugin.',
    source: 'k8s.io/apiserver pkg/apis/apiserver/validation: names are unique with automatic reload',
  },
  'kms-timeout-short': {
    severity: 'warning',
    fix: 'Give at least 1s: a slow answer of the KMS makes writes fail and the API server unready.',
    source: `${K8S_KMS}: timeout, 3s by default`,
  },
  'kms-timeout-long': {
    severity: 'warning',
    fix: "Give at most 10s: health checks wait for it, and requests end after the API server's own limit.",
    source: `${K8S_KMS}: timeout, 3s by default`,
  },
  'kms-cache-small': {
    severity: 'warning',
    fix: 'Leave cachesize out (1000), or raise it to the number of objects: every read beyond it asks the KMS.',
    source: `${K8S_KMS}: cachesize`,
  },
  'kms-socket-missing': {
    severity: 'warning',
    fix: 'Start the plugin, or mend the path: an API server started now would not become ready.',
    source: `${K8S_KMS}: endpoint`,
  },
  'kms-socket-open': {
    severity: 'error',
    fix: 'chmod 700 the folder and 600 the socket: whoever may connect can unwrap every key, who may replace it can answer instead.',
    source: 'SECURITY.md: plugin sockets',
  },
  'kms-socket-abstract': {
    severity: 'warning',
    fix: 'Use a socket with a path in a folder of mode 0700: an abstract one has no permissions.',
    source: 'unix(7)',
  },
  'reader-removed': {
    severity: 'error',
    fix: 'Keep it as a reader until `waxseal rewrap` is through and `waxseal scan` finds none of its values.',
    source: `${K8S_SOURCE}: what no provider reads is an error`,
  },
  'key-secret-changed': {
    severity: 'error',
    fix: 'Give the new key a new name and put it beside the old one: values name the key, not its content.',
    source: `${K8S_SOURCE}: keys are found by name`,
  },
  'key-renamed': {
    severity: 'error',
    fix: 'Keep the old name: it is part of every stored value.',
    source: 'docs/formats/stored-values.md',
  },
  'kms-endpoint-changed': {
    severity: 'warning',
    fix: 'Make sure that the plugin at the new endpoint can unwrap with the same keys (`waxseal verify`).',
    source: K8S_KMS,
  },
  'kms-version-changed': {
    severity: 'error',
    fix: 'Add the v2 provider under another name and keep v1 as a reader: the stored prefixes differ.',
    source: 'docs/formats/stored-values.md',
  },
  'writer-not-read-yet': {
    severity: 'error',
    fix: 'First add it as a reader on every API server, then put it first: a server that has not read the new file cannot read what the others write.',
    source: `${K8S_ENCRYPT}: rotating keys, high availability`,
  },
  'writer-changed': {
    severity: 'info',
    fix: 'Run `waxseal rewrap` once every API server has the file: what is stored stays under the old writer until then.',
    source: WAXSEAL,
  },
} as const satisfies Readonly<Record<string, Rule>>;

export type FindingId = keyof typeof rules;

export interface FindingDetails {
  readonly where: string;
  readonly why: string;
  readonly severity?: Severity;
  readonly resources?: readonly string[];
  readonly values?: number;
}

export function finding(id: FindingId, details: FindingDetails): Finding {
  const { severity, fix, source } = rules[id];
  return {
    id,
    severity: details.severity ?? severity,
    where: details.where,
    why: details.why,
    fix,
    source,
    ...(details.resources === undefined ? {} : { resources: details.resources }),
    ...(details.values === undefined ? {} : { values: details.values }),
  };
}

const ORDER: readonly Severity[] = ['error', 'warning', 'info'];

/** Worst first; else in the order found. */
export function bySeverity(findings: readonly Finding[]): readonly Finding[] {
  return findings.toSorted((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity));
}

/** Whether one is at least as bad as `limit`. */
export function anyAtLeast(findings: readonly Finding[], limit: Severity): boolean {
  return findings.some(({ severity }) => ORDER.indexOf(severity) <= ORDER.indexOf(limit));
}
