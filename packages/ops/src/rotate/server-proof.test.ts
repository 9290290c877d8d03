// Goal: only a server that shows the very configuration, or keyID, proves it; whatever else it answers is no proof. Method: metrics as servers
// write them, and as they must not be.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashKeyId } from '@waxseal/envelope';
import { proveConfiguration, proveKeyId, sameServerProblem, samplesOf } from './server-proof.js';

const wanted = `sha256:${'a'.repeat(64)}`;
const other = `sha256:${'b'.repeat(64)}`;
const controller = 'apiserver_encryption_config_controller';
const info = (hash: string, id = 'sha256:1'): string =>
  `# TYPE ${controller}_last_config_info gauge\n${controller}_last_config_info{apiserver_id_hash="${id}",hash="${hash}"} 1\n`;
const reloaded = (status: string, seconds: string): string =>
  `${controller}_automatic_reload_last_timestamp_seconds{apiserver_id_hash="sha256:1",status="${status}"} ${seconds}\n`;

test('the hash in force proves', () => {
  assert.deepEqual(proveConfiguration('a', info(wanted), wanted), {
    server: 'a',
    proven: true,
    serverIdHash: 'sha256:1',
    detail: `it has ${wanted} in force`,
  });
});

test('nothing else does', () => {
  const cases: Readonly<Record<string, RegExp>> = {
    '': /shows no/,
    [info(other)]: /still has sha256:b/,
    [info(other) + reloaded('success', '1.7e+09') + reloaded('failure', '1.8e+09')]: /last reload failed/,
    [info(other) + reloaded('success', '1.8e+09') + reloaded('failure', '1.7e+09')]: /not there yet/,
    [`# ${info(wanted)}`.split('\n').slice(0, 1).join('')]: /shows no/,
    [`x${controller}_last_config_info{hash="${wanted}"} 1`]: /shows no/,
    [`${controller}_last_config_info_total{hash="${wanted}"} 1`]: /shows no/,
    [`${controller}_last_config_info{hash="${wanted}"`]: /shows no/,
    [`${controller}_last_config_info{not_hash="${wanted}"} 1`]: /still has/,
  };
  for (const [metrics, detail] of Object.entries(cases)) {
    const proof = proveConfiguration('a', metrics, wanted);
    assert.equal(proof.proven, false, metrics);
    assert.match(proof.detail, detail, metrics);
  }
});

test('of the keyIDs of a KMS the newest counts', () => {
  const seen = (name: string, keyId: string, seconds: number): string =>
    `apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds{apiserver_id_hash="i",key_id_hash="${hashKeyId(keyId)}",provider_name="${name}"} ${seconds}\n`;
  const proven = (metrics: string): boolean => proveKeyId('a', metrics, 'cloud', 'new').proven;
  assert.equal(proven(seen('cloud', 'old', 1) + seen('cloud', 'new', 2)), true);
  assert.equal(proven(seen('cloud', 'old', 3) + seen('cloud', 'new', 2)), false);
  assert.equal(proven(seen('other', 'new', 2)), false);
  assert.equal(proven(''), false);
});

test('a load balancer is found out', () => {
  const proof = (server: string, id: string) => proveConfiguration(server, info(wanted, id), wanted);
  assert.match(
    sameServerProblem([proof('a', 'x'), proof('b', 'x')]) ?? '',
    /a and b are the same server, or two on one host/,
  );
  assert.equal(sameServerProblem([proof('a', 'x'), proof('b', 'y')]), undefined);
  assert.equal(sameServerProblem([proof('a', ''), proof('b', '')]), undefined, 'servers without an identity');
});

test('two on one host are told apart by when their processes began, whatever the clock does to whole seconds', () => {
  const proof = (server: string, started: string): ReturnType<typeof proveConfiguration> =>
    proveConfiguration(server, `${info(wanted)}process_start_time_seconds ${started}\n`, wanted);
  const first = proof('a', '1.79535562414e+09');
  assert.equal(sameServerProblem([first, proof('b', '1.79535588733e+09')]), undefined);
  for (const same of ['1.79535562414e+09', '1.79535562314e+09', 'NaN', '+Inf'])
    assert.match(sameServerProblem([first, proof('b', same)]) ?? '', /^a and b are the same server/, same);
  const silent = proveConfiguration('c', info(wanted), wanted);
  assert.match(sameServerProblem([first, silent]) ?? '', /^a and c are/);
  const others = [first, proof('b', '1.79535588733e+09'), proof('c', '1.79535588733e+09')];
  assert.match(sameServerProblem(others) ?? '', /^b and c are/);
});

test('labels may hold what has a meaning elsewhere', () => {
  const [sample] = samplesOf(String.raw`m{a="}\"\\,b=\"c\"",d="e\nf"} 3 1700000000`, 'm');
  assert.deepEqual({ ...sample?.labels }, { a: '}"\\,b="c"', d: 'e\nf' });
  assert.equal(sample?.value, 3);
});
