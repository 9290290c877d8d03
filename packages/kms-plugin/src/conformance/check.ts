/** What a check of the conformance kit is, and what it has to work with. */
import type { KmsCalls, Outcome, Sealer, Version } from './kms-calls.js';

/** A plugin that holds, or why nothing can be said. A breach is thrown (`breach`). */
export type Verdict =
  | { readonly kind: 'held'; /** What was seen, for people. */ readonly detail?: string }
  /** The kit was not given what the check needs. */
  | { readonly kind: 'left-out'; readonly reason: string }
  /** The plugin fails elsewhere in a way that hides this. */
  | { readonly kind: 'not-judged'; readonly reason: string };

export interface Check {
  /** `GROUP.NAME`; stable, for `--only`, reports and scripts. */
  readonly id: string;
  /** What holds, one line. */
  readonly title: string;
  /** Where the rule is written. */
  readonly rule: string;
  /** What whoever builds the plugin does about a breach, one sentence. */
  readonly advice: string;
  /** The version that must be served; `any` is content with either. */
  readonly needs: Version | 'any';
  /** @throws KmsPluginError `contract_broken` */
  readonly run: (bench: Bench) => Promise<Verdict>;
}

/** What an operator's commands do to the plugin and its backend; each resolves when the command has ended. */
export interface Commands {
  /** Restarts the plugin. */
  readonly restart?: (() => Promise<void>) | undefined;
  /** Takes the key backend away. */
  readonly breakBackend?: (() => Promise<void>) | undefined;
  /** Brings it back. */
  readonly healBackend?: (() => Promise<void>) | undefined;
}

/** What every check works with. */
export interface Bench {
  /** Path of the socket, for net.connect; an abstract one begins with NUL. */
  readonly netPath: string;
  readonly served: ReadonlySet<Version>;
  /** One connection for all checks, as an API server keeps. */
  readonly calls: KmsCalls;
  /** Another connection; closed when the check has ended. */
  connect(): KmsCalls;
  /** Sealers of the versions that are served, v2 first. */
  readonly sealers: readonly Sealer[];
  /** The cheapest call that is served. */
  ping(calls: KmsCalls, call?: Parameters<KmsCalls['status']>[0]): Promise<Outcome<unknown>>;
  /** Of the seed that the report prints. */
  random(sizeBytes: number): Buffer;
  /** How long an API server waits for an answer. */
  readonly budgetMs: number;
  /** Calls at once, and for how long, under load. */
  readonly inFlight: number;
  readonly loadMs: number;
  /** How long a restart, an outage and its end may take to show. */
  readonly waitMs: number;
  readonly commands: Commands;
  sleep(ms: number): Promise<void>;
  /** Observations that several checks judge, made once. */
  readonly memo: Map<string, unknown>;
}

export const held = (detail?: string): Verdict =>
  detail === undefined ? { kind: 'held' } : { kind: 'held', detail };

export const rules = {
  api: 'k8s.io/kms apis/v2/api.proto',
  apiV1: 'k8s.io/kms apis/v1beta1/api.proto',
  kep: 'KEP-3299 (KMS v2)',
  envelope: 'k8s.io/apiserver storage/value/encrypt/envelope/kmsv2',
  probe: 'k8s.io/apiserver server/options/encryptionconfig (kmsv2PluginProbe)',
  client: 'k8s.io/apiserver envelope/kmsv2 grpc_service.go',
  grpc: 'gRPC over HTTP2 (grpc/doc/PROTOCOL-HTTP2.md)',
  guide: 'kubernetes.io, Using a KMS provider for data encryption',
} as const;
