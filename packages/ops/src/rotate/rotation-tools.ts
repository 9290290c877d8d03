/** What the steps of a rotation need of the world, and what each of them answers. */
import type { RetireReport } from '../retire/retire.js';
import type { Source } from '../sources/source.js';
import type { Remaining } from './remaining.js';
import type { RewrapCounts, RotationStep } from './rotation-state.js';
import type { ServerProof } from './server-proof.js';

/** What a rotation needs of the world. */
export interface RotationTools {
  readonly now: () => Date;
  readonly signal?: AbortSignal;
  /** Takes the file to the servers. Called after each write, and when a later run begins; must not mind. */
  readonly distribute?: (file: string, hash: string) => Promise<void>;
  readonly openSource: () => Promise<Source>;
  readonly prefix: string;
  /** @param checkpointFile keeps the progress, so that a run that is cut off goes on there */
  readonly rewrap: (configFile: string, checkpointFile: string) => Promise<RewrapCounts>;
  /** May this key be deleted? `source` is open. */
  readonly mayRetire: (key: string, source: Source) => Promise<RetireReport>;
  readonly servers: readonly string[];
  /** The text of a server's `/metrics`. */
  readonly fetchMetrics: (server: string) => Promise<string>;
  /** Between two questions; rejects or resolves early when the signal is aborted. */
  readonly wait: (ms: number) => Promise<void>;
  /** How long servers are asked before it is given up for now. */
  readonly proofTimeoutMs: number;
  /** The hash of the configuration, or the keyID, that a person says is in force on every server. */
  readonly confirmed?: string;
  readonly onStep?: (step: RotationStep, phase: 'begins' | 'done') => void;
  readonly onProofs?: (proofs: readonly ServerProof[]) => void;
}

/** Why a rotation goes no further now. */
export interface Obstacle {
  /** Why, and what to do: sentences. */
  readonly reason: string;
  readonly proofs?: readonly ServerProof[];
  readonly retire?: readonly RetireReport[];
  readonly remaining?: Remaining;
}

/** A step's own answer: `go` or why not. */
export type StepResult =
  { readonly go: true; readonly rewrapped?: RewrapCounts } | ({ readonly go: false } & Obstacle);

export const GO: StepResult = { go: true };
