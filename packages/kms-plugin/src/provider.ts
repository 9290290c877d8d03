/**
 * What every key backend does for the plugin. The contract suite `contract/provider-contract.ts` holds for each.
 */
import type { KeyCondition } from './key-condition.js';
import type { Operation } from './key-health.js';
import type { KeySnapshot } from './snapshot.js';

/** What Encrypt made: to be stored, and given back to Decrypt. */
export interface Wrapped {
  /** 1..1024 bytes for KMS v2. */
  readonly ciphertext: Buffer;
  /** Keys are fully qualified domain names. */
  readonly annotations: Readonly<Record<string, Buffer>>;
}

export interface Unwrap extends Wrapped {
  /** The contract the value was stored under; v1 values of older plugins may lack what v2 ones have. */
  readonly version: 'v1' | 'v2';
  /** What Encrypt answered when the value was written; undefined with v1. */
  readonly keyId: string | undefined;
}

/** One key of a provider that is made of several. */
export interface ProviderMember {
  /** Unique among the members; the operator's word for this key, a metric label. */
  readonly name: string;
  /** The primary and the recipients wrap every new DEK; readers only unwrap old ones. */
  readonly role: 'primary' | 'recipient' | 'reader';
  readonly provider: Provider;
}

/** What the plugin does around every call of a member: each key has limits, metrics and a health of its own. */
export interface MemberHost {
  /**
   * Runs one call.
   *
   * @throws ProviderError
   */
  run<T>(
    member: ProviderMember,
    operation: Operation,
    signal: AbortSignal,
    attempt: (signal: AbortSignal) => Promise<T>,
  ): Promise<T>;
  /** A new value goes out, or one was met, without this recipient. */
  missing(recipient: string, operation: Operation): void;
  /** What a value holds for this recipient belongs to another value, or was changed. */
  altered(recipient: string): void;
}

interface ProviderConnection {
  /** `https://host:port`; the first where there are several. */
  readonly url?: string | undefined;
  /** PEM file of its authority. */
  readonly caFile?: string | undefined;
  /** Of a backend that has regions. */
  readonly region?: string | undefined;
}

export interface Provider {
  /** `local`, `aws`, …; a metric label. */
  readonly name: string;

  /**
   * True when whoever knows a public key can make what this provider opens (RSA-OAEP): then a successful `decrypt` says nothing about who wrote
   * the value. Absent: only a holder of the key, or of the permission to use it, can.
   */
  readonly forgeable?: boolean;

  /** True when what it wraps for recipients lies in annotations, which KMS v1 cannot store. */
  readonly needsV2?: boolean;

  /** Where its calls go, as far as the settings tell; for `waxseal plugin explain`. */
  readonly connection?: ProviderConnection;

  /** Of a provider that is made of several: its keys, the primary first. Absent: it is one key. */
  readonly members?: readonly ProviderMember[];

  /** With `members` only: who runs their calls from now on; nobody else before. */
  attach?(host: MemberHost): void;

  /** The key a write uses from now on. Cheap, no I/O; the same object until the key changes. */
  snapshot(): KeySnapshot;

  /**
   * Wraps a DEK source under exactly the key of this snapshot.
   *
   * @param snapshot one that `snapshot()` returned
   * @throws ProviderError
   */
  encrypt(snapshot: KeySnapshot, plaintext: Buffer, signal: AbortSignal): Promise<Wrapped>;

  /**
   * Unwraps. The returned Buffer is the caller's, who overwrites it.
   *
   * @throws ProviderError; class `corrupt` for bytes that this provider did not make, whatever they are
   */
  decrypt(wrapped: Unwrap, signal: AbortSignal): Promise<Buffer>;

  /**
   * Whether these bytes look like some this provider made, or its counterpart among other plugins. Cheap, no I/O; a yes is no promise that
   * `decrypt` succeeds, a no says that it cannot.
   */
  recognizes(wrapped: Unwrap): boolean;

  /**
   * What the backend says of the key, for early warning. Absent: the backend cannot be asked.
   *
   * @throws ProviderError
   */
  describe?(signal: AbortSignal): Promise<KeyCondition>;

  /** Reads keyrings, credentials and certificates again. On failure everything stays as it was. */
  reload(): Promise<void>;

  /** Ends connections and overwrites keys. */
  close(): Promise<void>;
}
