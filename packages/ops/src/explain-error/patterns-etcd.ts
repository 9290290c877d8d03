/**
 * Messages of etcd, as API servers and these tools pass them on. They carry gRPC codes as those of KMS plugins do, so they are looked for first.
 *
 * Sources: go.etcd.io/etcd `api/v3rpc/rpctypes` and `client/v3`, k8s.io/apiserver `storage/etcd3` and `storage/storagebackend/factory`.
 */
import type { ErrorPattern } from './pattern.js';

const RESIDUE_FIX = 'waxseal residue --etcd URL --fix';

export const etcdPatterns: readonly ErrorPattern[] = [
  {
    id: 'etcd-space',
    pattern: /mvcc: database space exceeded|\bNOSPACE\b/,
    cause:
      'etcd has reached its quota (--quota-backend-bytes) and takes no writes. A rewrap or rotation makes a new revision of every object, so it can be what filled it.',
    fix: 'Compact and defragment every member, then disarm the alarm (etcdctl alarm disarm); a rewrap goes on from its checkpoint.',
    commands: [RESIDUE_FIX],
  },
  {
    id: 'etcd-compacted',
    pattern:
      /mvcc: required revision has been compacted|The resourceVersion for the provided (watch|list) is too old|The provided continue parameter is too old/,
    cause:
      'What was to be read lies at a revision that etcd has compacted meanwhile; encryption is not concerned.',
    fix: 'Begin the list or watch anew; clients do so by themselves.',
    commands: [],
  },
  {
    id: 'etcd-future-revision',
    pattern: /mvcc: required revision is a future revision|Too large resource version/,
    cause:
      'The etcd that answers is behind what the client has seen: a restore from an older backup, or another cluster.',
    fix: 'After a restore restart API servers and controllers; check that every --etcd-servers is a member of one cluster.',
    commands: ['waxseal scan --etcd URL'],
  },
  {
    id: 'etcd-request-too-large',
    pattern:
      /etcdserver: request is too large|trying to send message larger than max|received message larger than max/,
    cause:
      'A value is larger than etcd takes (1.5 MiB unless --max-request-bytes says otherwise). Sealing makes a value longer: by less than 100 bytes with a static key, by the wrapped DEK with a KMS.',
    fix: 'Make the object smaller, or raise --max-request-bytes on every member.',
    commands: [],
  },
  {
    id: 'etcd-too-many-requests',
    pattern: /etcdserver: too many requests/,
    cause: 'etcd has more writes waiting than it takes: a rewrap or another writer is too fast for its disk.',
    fix: 'Limit the rewrap, or run it when less is written.',
    commands: ['waxseal rewrap --etcd URL --encryption-config FILE --rate 100'],
  },
  {
    id: 'etcd-permission',
    pattern:
      /etcdserver: (permission denied|user name is empty|authentication failed|invalid auth (token|management)|user name not found|role name not found|revision of auth store is old)/,
    cause:
      'etcd refuses the user: it has no right to these keys, or its name, certificate or password is wrong.',
    fix: 'Give the user a role that reads (and for a rewrap writes) the prefix of the API server: etcdctl role grant-permission.',
    commands: ['waxseal scan --etcd URL --cacert FILE --cert FILE --key FILE'],
  },
  {
    id: 'etcd-corrupt',
    pattern: /etcdserver: (corrupt cluster|cluster ID mismatch)|\bCORRUPT\b alarm|alarm:CORRUPT/,
    cause: 'The members of etcd do not hold the same data, or are of different clusters.',
    fix: 'Stop writing, find the member that differs (etcdctl endpoint hashkv), and replace it by a new one; then verify.',
    commands: ['waxseal verify --etcd URL --encryption-config FILE --all'],
  },
  {
    id: 'etcd-no-leader',
    pattern:
      /etcdserver: (no leader|not leader|leader changed|unhealthy cluster|server stopped|request timed out|context deadline exceeded|re-configuration failed)|etcd cluster is unavailable|etcd client connection not yet established|error getting data from etcd|etcd failed: reason withheld/,
    cause:
      'etcd does not answer: it has no leader, or a slow disk or network. Encryption is not concerned, and nothing is lost.',
    fix: 'Look at the members (etcdctl endpoint status --cluster) and their disks; commands of waxseal that were stopped by it go on where they were.',
    commands: [],
  },
  {
    id: 'etcd-tls',
    pattern:
      /authentication handshake failed|tls: (bad certificate|failed to verify certificate|unknown certificate authority|certificate required|first record does not look like a TLS handshake)|x509: certificate/,
    cause:
      'Server and client do not accept each other’s certificates: another authority, another host name, an expired certificate, or one side without TLS.',
    fix: 'Compare --cacert, --cert and --key (of API servers: --etcd-cafile, --etcd-certfile, --etcd-keyfile) with what the server has.',
    commands: ['waxseal scan --etcd URL --cacert FILE --cert FILE --key FILE'],
  },
];
