/** What the load generator for key services is told, and what it says. */
import type { KmsEndpoint } from './kms-connection.js';
import type { Credentials } from './sigv4.js';

export interface KmsLoad {
  readonly endpoint: KmsEndpoint;
  readonly credentials: Credentials;
  /** `Encrypt`. */
  readonly operation: string;
  readonly keyId: string;
  /** Bodies to send in turn; default: 64 that suit the operation. */
  readonly bodies?: readonly unknown[];
  readonly connections: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  /** This many calls instead of some seconds. */
  readonly calls?: number;
  readonly sign: 'second' | 'each';
  /** The server's process: its processor time is read before and after. */
  readonly pid: number;
}

export interface KmsFigures {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failures: number;
  readonly firstFailure: string;
  /** Processor time of the server, all threads, for each answered call. Tells more than throughput on a busy machine. */
  readonly serverMicrosPerCall: number;
}
