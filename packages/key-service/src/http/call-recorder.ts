/**
 * What every call leaves behind, whatever its protocol: an audit record on disk, a metric, and for faults of ours a log line.
 */
import { StoreError } from '@waxseal/storage';
import type { Logger } from 'pino';
import type { AccessKey } from '../access/principals.js';
import type { AuditJournal } from '../audit/journal.js';
import { cloudTrailRecords, type AuditedCall } from '../audit/record.js';
import { type DatedServiceEvent, serviceEventRecord } from '../audit/service-event.js';
import { AwsError } from '../aws-error.js';
import type { KeyServiceMetrics } from '../metrics.js';
import type { AuditedResource, Call } from '../operations/call.js';
import { noteLastUsage } from '../operations/last-usage.js';
import type { Output } from '../operations/operation.js';
import type { HttpRequest } from './message.js';

interface CallOutcome {
  readonly eventName: string;
  readonly readOnly: boolean;
  readonly accessKey?: AccessKey | undefined;
  readonly region?: string | undefined;
  readonly call?: Call | undefined;
  /** Of a call that is no `Call`: what was asked, without secrets. */
  readonly input?: Readonly<Record<string, unknown>> | undefined;
  readonly output?: Output;
  /** Of a call that is no `Call`. */
  readonly resources?: readonly AuditedResource[];
  readonly error?: AwsError | undefined;
}

interface StartedCall {
  readonly requestId: string;
  /** Records the outcome. Resolves with the error to answer with, undefined for success; when the record cannot be written, that is the error. */
  finish(outcome: CallOutcome): Promise<AwsError | undefined>;
}

export interface CallRecorder {
  /** Before a change: @throws AwsError KMSInternalException while the audit log takes no changes. */
  refuseUnrecordable(): void;
  start(request: HttpRequest | undefined, eventSource: string): StartedCall;
  /** Resolves when it is on disk. @throws the journal's error */
  recordEvent(event: DatedServiceEvent): Promise<void>;
  /** AwsErrors as they are; the store's failures and our own faults as AWS would name them, after logging them. */
  asAwsError(thrown: unknown, operation: string): AwsError;
}

export interface CallRecorderOptions {
  readonly journal: AuditJournal;
  readonly metrics: KeyServiceMetrics;
  readonly logger: Logger;
  readonly now: () => number;
  readonly createUuid: () => string;
  /** Called for each request of a caller to KMS: what AWS would bill. */
  readonly countRequest: () => void;
  /** The trail of calls whose region is not known. */
  readonly defaultRegion: string;
}

const INTERNAL_MESSAGE = 'An internal error occurred. The request ID finds it in the log of the key service.';
const TIMEOUT_MESSAGE =
  'The system timed out while trying to fulfill the request. The request can be retried.';

const AUDIT_FULL_MESSAGE =
  'The audit log cannot be written, most likely because its disk is full: nothing was changed. Free some space on it and try again; calls that change nothing go on meanwhile.';
const STORE_FULL_MESSAGE =
  'The disk of the key store is full: nothing was changed. Free some space on it and try again.';

export function createCallRecorder(options: CallRecorderOptions): CallRecorder {
  const { journal, metrics, logger, now, createUuid, countRequest, defaultRegion } = options;
  return {
    refuseUnrecordable() {
      if (journal.recover() !== 'open') throw new AwsError('KMSInternalException', AUDIT_FULL_MESSAGE);
    },

    start(request, eventSource) {
      const requestId = createUuid();
      const startedNs = process.hrtime.bigint();
      const eventTimeMs = now();
      return {
        requestId,
        async finish({
          eventName,
          readOnly,
          accessKey,
          region = defaultRegion,
          call,
          input,
          output,
          resources = [],
          error,
        }) {
          const audited: AuditedCall = {
            eventId: createUuid(),
            requestId,
            eventTimeMs,
            eventSource,
            eventName,
            readOnly,
            region,
            accessKey,
            request,
            input: call?.input ?? input,
            output,
            error,
            resources: call?.resources ?? resources,
            eventData: call?.eventData,
            related: call?.related ?? [],
          };
          let outcome = error;
          try {
            // Handed over together, so that one write makes them all durable.
            await Promise.all(
              cloudTrailRecords(audited, createUuid).map((one) =>
                journal.append(one.accountId, one.region, one.record),
              ),
            );
          } catch {
            // The journal has logged why. What is not audited is not answered.
            outcome = new AwsError('KMSInternalException', INTERNAL_MESSAGE);
          }
          if (accessKey !== undefined && request !== undefined && eventSource === 'kms.amazonaws.com')
            countRequest();
          if (call !== undefined && outcome === undefined) noteLastUsage(call, eventName, audited.eventId);
          metrics.observe(eventName, outcome?.code, Number(process.hrtime.bigint() - startedNs) / 1e9);
          return outcome;
        },
      };
    },

    recordEvent: (event) => journal.append(event.accountId, event.region, serviceEventRecord(event)),

    asAwsError(thrown, operation) {
      if (thrown instanceof AwsError) return thrown;
      logger.error({ err: thrown, operation }, 'a call failed for a reason of ours');
      if (thrown instanceof StoreError && (thrown.code === 'unavailable' || thrown.code === 'timeout')) {
        return new AwsError('DependencyTimeoutException', TIMEOUT_MESSAGE, { cause: thrown });
      }
      const full = thrown instanceof StoreError && thrown.code === 'no-space';
      return new AwsError('KMSInternalException', full ? STORE_FULL_MESSAGE : INTERNAL_MESSAGE, {
        cause: thrown,
      });
    },
  };
}
