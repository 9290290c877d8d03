/**
 * What a server's metrics prove about the configuration it has in force.
 *
 * Source of the names: k8s.io/apiserver `server/options/encryptionconfig/metrics` and `storage/value/encrypt/envelope/metrics`.
 * A server shows `last_config_info` after its start too (`server/options/etcd.go`), so one that was restarted proves the same.
 */
import { hashKeyId } from '@waxseal/envelope';

export interface MetricSample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface ServerProof {
  readonly server: string;
  readonly proven: boolean;
  /** Why not, or what proves it: one sentence. */
  readonly detail: string;
  /** `apiserver_id_hash`; empty when the server shows none. */
  readonly serverIdHash: string;
  /** When its process began, by the second's hundredth; absent when it does not say. */
  readonly processHundredth?: number;
}

const CONTROLLER = 'apiserver_encryption_config_controller_';
const CONFIG_INFO = `${CONTROLLER}last_config_info`;
const RELOAD_SECONDS = `${CONTROLLER}automatic_reload_last_timestamp_seconds`;
const PROCESS_SECONDS = 'process_start_time_seconds';
const KEY_ID_SECONDS = 'apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds';

/** @param metrics the text of `/metrics` */
export function proveConfiguration(server: string, metrics: string, hash: string): ServerProof {
  const infos = samplesOf(metrics, CONFIG_INFO);
  const info = infos.find((each) => each.labels['hash'] === hash) ?? infos[0];
  const identity = identityOf(info, metrics);
  if (info === undefined) {
    return {
      server,
      proven: false,
      ...identity,
      detail: `it shows no ${CONFIG_INFO}: it runs without an encryption configuration, or is too old to show it; confirm by hand`,
    };
  }
  const shown = info.labels['hash'] ?? '';
  if (shown === hash) return { server, proven: true, ...identity, detail: `it has ${hash} in force` };
  const reloads = samplesOf(metrics, RELOAD_SECONDS);
  const lastOf = (status: string): number =>
    Math.max(0, ...reloads.filter(({ labels }) => labels['status'] === status).map(({ value }) => value));
  const failed = lastOf('failure') > lastOf('success');
  const detail = failed
    ? `its last reload failed and it still has ${shown}: read its log for the reason`
    : `it still has ${shown}: the file is not there yet, or it has not looked (every minute)`;
  return { server, proven: false, ...identity, detail };
}

/** @param keyId that the plugin's Status must have answered last */
export function proveKeyId(server: string, metrics: string, kmsName: string, keyId: string): ServerProof {
  const samples = samplesOf(metrics, KEY_ID_SECONDS).filter(
    ({ labels }) => labels['provider_name'] === kmsName,
  );
  const newest = samples.reduce<MetricSample | undefined>(
    (best, each) => (best === undefined || each.value > best.value ? each : best),
    undefined,
  );
  const hash = hashKeyId(keyId);
  const proven = newest?.labels['key_id_hash'] === hash;
  const detail =
    newest === undefined
      ? `it shows no Status of a KMS named ${kmsName}`
      : proven
        ? 'the last Status of its KMS has the new keyID'
        : 'the last Status of its KMS has another keyID: it asks every minute';
  return { server, proven, ...identityOf(newest, metrics), detail };
}

/**
 * client_golang's process collector: the kernel's time of boot, in whole seconds, and ticks since. The first moves with the clock, so of one
 * process only the hundredth stays.
 */
function identityOf(
  sample: MetricSample | undefined,
  metrics: string,
): Pick<ServerProof, 'serverIdHash' | 'processHundredth'> {
  const serverIdHash = sample?.labels['apiserver_id_hash'] ?? '';
  const [started] = samplesOf(metrics, PROCESS_SECONDS);
  if (started === undefined || !Number.isFinite(started.value)) return { serverIdHash };
  return { serverIdHash, processHundredth: Math.round(started.value * 100) % 100 };
}

/**
 * Two addresses of one server prove one server only. The id is a hash of the host's name: of two on one host only the processes tell.
 *
 * @returns one sentence, undefined when there is nothing to say
 */
export function sameServerProblem(proofs: readonly ServerProof[]): string | undefined {
  for (const [i, proof] of proofs.entries()) {
    const other = proofs.slice(0, i).find((each) => couldBeOne(each, proof));
    if (other !== undefined) {
      return `${other.server} and ${proof.server} are the same server, or two on one host, which cannot be told apart: name each server by its own address, not a load balancer's; for two on one host name none, and confirm the hash`;
    }
  }
  return undefined;
}

function couldBeOne(a: ServerProof, b: ServerProof): boolean {
  if (a.serverIdHash === '' || a.serverIdHash !== b.serverIdHash) return false;
  if (a.processHundredth === undefined || b.processHundredth === undefined) return true;
  return a.processHundredth === b.processHundredth;
}

const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\.)*)"/g;

/** Samples of one metric in the text format (Prometheus exposition format 0.0.4); lines that do not fit are left out. */
export function samplesOf(metrics: string, name: string): readonly MetricSample[] {
  return metrics.split('\n').flatMap((line) => {
    if (!line.startsWith(name)) return [];
    const rest = line.slice(name.length);
    const [, labelText = '', valueText] = /^(?:\{(.*)\})?[ \t]+(\S+)/.exec(rest) ?? [];
    const value = valueText === undefined ? Number.NaN : Number(valueText);
    if (Number.isNaN(value)) return [];
    const labels: Record<string, string> = Object.create(null);
    for (const [, label = '', text = ''] of labelText.matchAll(LABEL)) {
      labels[label] = text.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped));
    }
    return [{ labels, value }];
  });
}
