/** What Status and Version say: kube-apiserver polls them, and refuses to write when they are not as agreed. */
import { rules, held, type Bench, type Check } from './check.js';
import { breach, expectAnswer, type Status } from './kms-calls.js';

const polls = 12;

/** Half of them on a connection of their own: a plugin of several processes must say the same in each. */
async function pollStatus(bench: Bench, times = polls): Promise<readonly Status[]> {
  const other = bench.connect();
  const answers: Status[] = [];
  for (let i = 0; i < times; i++) {
    const calls = i % 2 === 0 ? bench.calls : other;
    answers.push(expectAnswer('Status', await calls.status()));
  }
  return answers;
}

const distinct = (texts: readonly string[]): readonly string[] => [...new Set(texts)];
const quoted = (texts: readonly string[]): string =>
  texts.map((text) => JSON.stringify(text.slice(0, 80))).join(', ');

export const statusChecks: readonly Check[] = [
  {
    id: 'status.version',
    title: 'Status.version is v2 or v2beta1',
    rule: `${rules.api} StatusResponse.version; ${rules.probe} isKMSv2ProviderHealthyAndMaybeRotateDEK`,
    advice: 'Answer "v2", or "v2beta1" when replacing a plugin that does.',
    needs: 'v2',
    run: async (bench) => {
      const { version } = expectAnswer('Status', await bench.calls.status());
      if (version !== 'v2' && version !== 'v2beta1') throw breach(`Status.version is ${quoted([version])}`);
      return held(version);
    },
  },
  {
    id: 'status.version-constant',
    title: 'Status.version stays the same',
    rule: `${rules.probe}: the version must not change after the first answer`,
    advice:
      'Make the version a constant of the process; an API server that saw another one reports the plugin unhealthy.',
    needs: 'v2',
    run: async (bench) => {
      const versions = distinct((await pollStatus(bench)).map(({ version }) => version));
      if (versions.length > 1) throw breach(`${polls} Status calls answered ${quoted(versions)}`);
      return held(`${polls} calls`);
    },
  },
  {
    id: 'status.healthz',
    title: 'Status.healthz is exactly "ok"',
    rule: `${rules.api} StatusResponse.healthz: any other value is failing`,
    advice:
      'Answer the two letters ok when the key works; if it does not, mend what healthz names and try again.',
    needs: 'v2',
    run: async (bench) => {
      const [unhealthy] = (await pollStatus(bench, 4)).filter(({ healthz }) => healthz !== 'ok');
      if (unhealthy !== undefined) throw breach(`Status.healthz is ${quoted([unhealthy.healthz])}`);
      return held();
    },
  },
  {
    id: 'status.key-id-stable',
    title: 'Status.key_id stays the same while no key is rotated',
    rule: `${rules.kep}: a changed key_id makes the API server generate a new DEK seed and calls every older object stale`,
    advice: 'Answer an id of the key, made of nothing that differs between calls, connections or processes.',
    needs: 'v2',
    run: async (bench) => {
      const keyIds = distinct((await pollStatus(bench)).map(({ keyId }) => keyId));
      // One change may be a rotation that happens right now.
      if (keyIds.length > 2) throw breach(`${polls} Status calls answered ${keyIds.length} key ids`);
      if (keyIds.length === 1) return held(`${polls} calls`);
      const again = distinct((await pollStatus(bench)).map(({ keyId }) => keyId));
      if (again.length > 1) throw breach('the key id goes to and fro');
      return held('it changed once');
    },
  },
  {
    id: 'status.encrypt-agrees',
    title: 'Encrypt answers the key_id that Status does',
    rule: `${rules.probe}: a write key is taken only when Encrypt's key_id equals that of Status`,
    advice: 'Answer both from one snapshot of the key.',
    needs: 'v2',
    run: async (bench) => {
      const [sealer] = bench.sealers;
      for (let attempt = 0; attempt < 5; attempt++) {
        const before = expectAnswer('Status', await bench.calls.status());
        const sealed = sealer && expectAnswer('Encrypt of 32 bytes', await sealer.encrypt(bench.random(32)));
        const after = expectAnswer('Status', await bench.calls.status());
        if (before.keyId !== after.keyId) continue;
        if (sealed?.keyId !== before.keyId) {
          throw breach(`Status says ${quoted([before.keyId])}, Encrypt ${quoted([sealed?.keyId ?? ''])}`);
        }
        return held();
      }
      return { kind: 'not-judged', reason: 'the key id of Status changes all the time' };
    },
  },
];

export const versionChecks: readonly Check[] = [
  {
    id: 'version.fields',
    title: 'Version answers v1beta1 and names the plugin',
    rule: `${rules.apiV1} VersionResponse; k8s.io/apiserver envelope/grpc_service.go checkAPIVersion`,
    advice: 'Answer version "v1beta1", and a name and a version of the plugin that an operator can look up.',
    needs: 'v1',
    run: async (bench) => {
      const { version, runtimeName, runtimeVersion } = expectAnswer('Version', await bench.calls.v1Version());
      if (version !== 'v1beta1') throw breach(`version is ${quoted([version])}`);
      if (runtimeName === '') throw breach('runtime_name is empty');
      if (runtimeVersion === '') throw breach('runtime_version is empty');
      return held(`${runtimeName} ${runtimeVersion}`.replace(/[^\x20-\x7e]/g, '?').slice(0, 80));
    },
  },
];
