/** What `waxseal up` says once everything listens: one JSON line for scripts, or what to type next for people. */
import { relative } from 'node:path';

/** The fixed surface of `--output json`. Paths are absolute, endpoints are URLs. */
export interface UpReady {
  readonly kubeconfig: string;
  readonly apiServer: string;
  readonly kmsEndpoint: string;
  readonly region: string;
  /** AWS shared credentials file, profile `default`. */
  readonly credentialsFile: string;
  readonly etcdEndpoint: string;
  readonly etcdCertFile: string;
  readonly etcdKeyFile: string;
  readonly pluginSocket: string;
  /** Signs the three servers' certificates. */
  readonly caFile: string;
  readonly encryptionConfig: string;
  /** `token,user,uid,"groups"`; the first line is the administrator's bearer token. */
  readonly tokenFile: string;
  /** Shell exports for kubectl, etcdctl and aws. */
  readonly environmentFile: string;
  /** With `--plugin-health-port`: answers /livez, /readyz and /metrics of the KMS plugin. */
  readonly pluginHealthEndpoint?: string;
}

export function describeReady(ready: UpReady, cwd: string): string {
  const near = relative(cwd, ready.environmentFile);
  const environment = near.startsWith('..') ? ready.environmentFile : `./${near}`;
  return `Waxseal is up. Every object is sealed before it is stored (KMS v2, key alias/waxseal).

  Kubernetes API   ${ready.apiServer}
  key service      ${ready.kmsEndpoint}
  etcd front       ${ready.etcdEndpoint}
  KMS plugin       unix://${ready.pluginSocket}${ready.pluginHealthEndpoint === undefined ? '' : `, health ${ready.pluginHealthEndpoint}`}

Type next, in another terminal:

  . ${environment}
  kubectl create secret generic db --from-literal=password=s3cret
  kubectl get secrets
  etcdctl get /registry/secrets/default/db --print-value-only | head -c 23
  aws --endpoint-url $WAXSEAL_KMS kms describe-key --key-id alias/waxseal

Ctrl-C ends it; the next start finds everything again.
`;
}
