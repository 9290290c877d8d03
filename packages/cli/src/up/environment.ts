/** `env`: a file to source in a shell, so that kubectl, etcdctl and aws find a running `waxseal up`. */
import { writePrivateFile } from '../private-files.js';
import type { UpReady } from './ready.js';

/** Quotes a value for sh. */
const quote = (value: string): string =>
  /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;

/** Variables the clients read by themselves; `WAXSEAL_KMS` is for the CLI's `--endpoint-url`, which has none before 2.13. */
export function writeEnvironmentFile(path: string, ready: UpReady): void {
  const variables: Record<string, string> = {
    KUBECONFIG: ready.kubeconfig,
    ETCDCTL_API: '3',
    ETCDCTL_ENDPOINTS: ready.etcdEndpoint,
    ETCDCTL_CACERT: ready.caFile,
    ETCDCTL_CERT: ready.etcdCertFile,
    ETCDCTL_KEY: ready.etcdKeyFile,
    AWS_SHARED_CREDENTIALS_FILE: ready.credentialsFile,
    AWS_PROFILE: 'default',
    AWS_CA_BUNDLE: ready.caFile,
    AWS_REGION: ready.region,
    AWS_DEFAULT_REGION: ready.region,
    AWS_ENDPOINT_URL_KMS: ready.kmsEndpoint,
    WAXSEAL_KMS: ready.kmsEndpoint,
  };
  const lines = Object.entries(variables).map(([name, value]) => `export ${name}=${quote(value)}\n`);
  writePrivateFile(
    path,
    // Credentials in the environment go before those in the file, and belong to another account.
    `# Source this file to point kubectl, etcdctl and aws at this Waxseal.\nunset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN\n${lines.join('')}`,
  );
}
