/**
 * What a caller is told when a call fails, as AWS KMS tells it: a `__type`, an HTTP status and a message.
 *
 * Sources of the rule: the AWS JSON 1.1 protocol (`__type`, `message`), the KMS API reference's error lists, and
 * recorded answers of the service: it answers 400 for every fault of the caller, also where the reference prints
 * another status, writes `Message` in AccessDeniedException, and leaves the message out of InvalidCiphertextException.
 */

interface ErrorShape {
  readonly status: number;
  /** The member that carries the text; absent: the error never carries one. */
  readonly messageMember?: 'message' | 'Message';
}

const clientFault: ErrorShape = { status: 400, messageMember: 'message' };

/** Every error the service answers with. One row, one shape. */
const AWS_ERRORS = {
  AccessDeniedException: { status: 400, messageMember: 'Message' },
  AlreadyExistsException: clientFault,
  CloudHsmClusterInUseException: clientFault,
  CloudHsmClusterNotFoundException: clientFault,
  ConflictException: clientFault,
  CustomKeyStoreHasCMKsException: clientFault,
  CustomKeyStoreInvalidStateException: clientFault,
  CustomKeyStoreNameInUseException: clientFault,
  CustomKeyStoreNotFoundException: clientFault,
  DependencyTimeoutException: { status: 503, messageMember: 'message' },
  DisabledException: clientFault,
  DryRunOperationException: clientFault,
  ExpiredImportTokenException: clientFault,
  ExpiredTokenException: clientFault,
  IncompleteSignatureException: clientFault,
  IncorrectKeyException: clientFault,
  IncorrectKeyMaterialException: clientFault,
  IncorrectTrustAnchorException: clientFault,
  InvalidAliasNameException: clientFault,
  InvalidArnException: clientFault,
  InvalidCiphertextException: { status: 400 },
  InvalidEventCategoryException: clientFault,
  InvalidGrantTokenException: clientFault,
  InvalidImportTokenException: clientFault,
  InvalidKeyUsageException: clientFault,
  InvalidLookupAttributesException: clientFault,
  InvalidMarkerException: clientFault,
  InvalidMaxResultsException: clientFault,
  InvalidNextTokenException: clientFault,
  InvalidParameterValueException: clientFault,
  InvalidSignatureException: clientFault,
  InvalidTimeRangeException: clientFault,
  KMSInvalidMacException: { status: 400 },
  KMSInvalidSignatureException: { status: 400 },
  KMSInternalException: { status: 500, messageMember: 'message' },
  KMSInvalidStateException: clientFault,
  KeyUnavailableException: { status: 500, messageMember: 'message' },
  LimitExceededException: clientFault,
  MalformedPolicyDocumentException: clientFault,
  MissingAuthenticationTokenException: clientFault,
  NotAuthorizedException: clientFault,
  NotFoundException: clientFault,
  RequestEntityTooLargeException: { status: 413, messageMember: 'message' },
  SerializationException: { status: 400, messageMember: 'Message' },
  TagException: clientFault,
  ThrottlingException: clientFault,
  UnknownOperationException: { status: 400 },
  UnrecognizedClientException: clientFault,
  UnsupportedOperationException: clientFault,
  ValidationException: clientFault,
} as const satisfies Record<string, ErrorShape>;

export type AwsErrorCode = keyof typeof AWS_ERRORS;

/** Thrown by anything between the request's bytes and its answer; the protocol turns it into an answer. */
export class AwsError extends Error {
  override readonly name = 'AwsError';
  readonly code: AwsErrorCode;
  constructor(code: AwsErrorCode, message = '', options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  get status(): number {
    return AWS_ERRORS[this.code].status;
  }

  /** The JSON body of the answer. */
  body(): string {
    const shape: ErrorShape = AWS_ERRORS[this.code];
    return shape.messageMember === undefined || this.message === ''
      ? JSON.stringify({ __type: this.code })
      : JSON.stringify({ __type: this.code, [shape.messageMember]: this.message });
  }
}
