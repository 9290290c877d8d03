/**
 * What the service does to a key by itself, as CloudTrail records it: rotation, deletion at the end of the waiting period, expiry of
 * imported material, synchronisation of multi-Region keys.
 *
 * Source of the rule: KMS Developer Guide, log entries of RotateKey, DeleteKey, DeleteExpiredKeyMaterial, SynchronizeMultiRegionKey.
 */
export interface ServiceEvent {
  readonly eventName: 'RotateKey' | 'DeleteKey' | 'DeleteExpiredKeyMaterial' | 'SynchronizeMultiRegionKey';
  readonly accountId: string;
  readonly region: string;
  readonly keyArn: string;
  /** additionalEventData. */
  readonly eventData?: Readonly<Record<string, string>>;
  /** serviceEventDetails. */
  readonly details?: Readonly<Record<string, string>>;
}

/** As it is kept until it is recorded. */
export interface DatedServiceEvent extends ServiceEvent {
  readonly eventId: string;
  readonly eventTimeMs: number;
}

/** AWS's own words for its doings. */
const INTERNAL = 'AWS Internal';

/** The record's members in CloudTrail's order, without the chain. */
export function serviceEventRecord(event: DatedServiceEvent): Readonly<Record<string, unknown>> {
  const { eventName, accountId, keyArn, eventData, details } = event;
  // The one that CloudTrail shows as a call of the service to itself.
  const call = eventName === 'SynchronizeMultiRegionKey';
  return {
    eventVersion: '1.11',
    userIdentity: { accountId, invokedBy: INTERNAL },
    eventTime: `${new Date(event.eventTimeMs).toISOString().slice(0, 19)}Z`,
    eventSource: 'kms.amazonaws.com',
    eventName,
    awsRegion: event.region,
    sourceIPAddress: INTERNAL,
    userAgent: INTERNAL,
    requestParameters: null,
    responseElements: call ? { keyId: keyArn } : null,
    ...(eventData === undefined ? {} : { additionalEventData: eventData }),
    ...(call ? { requestID: event.eventId } : {}),
    eventID: event.eventId,
    readOnly: false,
    resources: [{ accountId, type: 'AWS::KMS::Key', ARN: keyArn }],
    eventType: call ? 'AwsApiCall' : 'AwsServiceEvent',
    managementEvent: true,
    recipientAccountId: accountId,
    ...(details === undefined ? {} : { serviceEventDetails: details }),
    eventCategory: 'Management',
  };
}
