/** Steps that wait until every server proved by its metrics what it has in force, or a person confirmed it. */
import { OpsError } from '../errors.js';
import { readConfigurationFile, type ConfigurationFile } from './configuration-file.js';
import type { ConfigurationName, RotationState } from './rotation-state.js';
import { GO, type RotationTools, type StepResult } from './rotation-tools.js';
import { proveConfiguration, proveKeyId, sameServerProblem, type ServerProof } from './server-proof.js';

/** Servers that are restarted answer soon, others look at the file every minute. */
const FIRST_PROOF_POLL_MS = 500;
const PROOF_POLL_MS = 5_000;

export async function prove(
  state: RotationState,
  tools: RotationTools,
  name: ConfigurationName,
): Promise<StepResult> {
  const { hash } = await fileInForce(state, name);
  const advice = `Each must have ${hash}: bring ${state.configFile} there, restart a server that does not reload it by itself, then run this again`;
  return proveServers(tools, hash, advice, (server, metrics) => proveConfiguration(server, metrics, hash));
}

/**
 * What was proven once may not hold any more: a server that was restarted with an older file could not read what comes next. A
 * confirmation by hand is not asked for again.
 */
export async function stillProven(
  state: RotationState,
  tools: RotationTools,
  name: ConfigurationName,
): Promise<StepResult> {
  return tools.servers.length === 0 ? GO : prove(state, tools, name);
}

export function proveNewKeyId({ kmsKeyId }: RotationState, tools: RotationTools): Promise<StepResult> {
  if (kmsKeyId === undefined) throw new OpsError('state-invalid', 'the rotation’s state names no keyID');
  const { name, keyId } = kmsKeyId;
  const advice = `Each plugin must answer ${keyId}: let it read its keys again, then run this again`;
  return proveServers(tools, keyId, advice, (server, metrics) => proveKeyId(server, metrics, name, keyId));
}

async function proveServers(
  tools: RotationTools,
  wanted: string,
  /** What to do about a server that does not prove it: one sentence. */
  advice: string,
  judge: (server: string, metrics: string) => ServerProof,
): Promise<StepResult> {
  if (tools.confirmed === wanted) return GO;
  if (tools.servers.length === 0) {
    const reason = `every server must have ${wanted} in force first: see to it, then confirm exactly that, or name the servers`;
    return { go: false, reason };
  }
  const ask = async (server: string): Promise<ServerProof> => {
    try {
      return judge(server, await tools.fetchMetrics(server));
    } catch (error) {
      const detail = `its metrics cannot be read: ${error instanceof Error ? error.message : String(error)}`;
      return { server, proven: false, detail, serverIdHash: '' };
    }
  };
  const endMs = tools.now().getTime() + tools.proofTimeoutMs;
  let pollMs = FIRST_PROOF_POLL_MS;
  for (;;) {
    const proofs = await Promise.all(tools.servers.map(ask));
    tools.onProofs?.(proofs);
    const problem = sameServerProblem(proofs);
    if (problem !== undefined) return { go: false, reason: problem, proofs };
    const missing = proofs.filter(({ proven }) => !proven);
    if (missing.length === 0) return GO;
    if (tools.signal?.aborted === true)
      throw new OpsError('interrupted', 'interrupted; run it again to go on');
    if (tools.now().getTime() + pollMs > endMs) {
      const details = missing.map(({ server, detail }) => `${server}: ${detail}`).join('; ');
      return { go: false, reason: `${details}. ${advice}`, proofs };
    }
    await tools.wait(pollMs);
    pollMs = Math.min(2 * pollMs, PROOF_POLL_MS);
  }
}

/** The file on this machine, which must be the rotation's: rewrap reads it. */
export async function fileInForce(state: RotationState, name: ConfigurationName): Promise<ConfigurationFile> {
  const file = await readConfigurationFile(state.configFile);
  const { hash } = state.configurations[name];
  if (file.hash === hash) return file;
  throw new OpsError(
    'state-invalid',
    `${state.configFile} was changed by somebody else (${file.hash}, expected ${hash}): put the rotation's version back, or plan anew`,
  );
}
