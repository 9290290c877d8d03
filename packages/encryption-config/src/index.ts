export * from './at-rest.js';
export { checkEncryptionConfig, type CheckOptions, type CheckResult, readEncryptionConfig } from './check.js';
export type {
  EncryptionConfiguration,
  KeyConfiguration,
  KeysConfiguration,
  KmsConfiguration,
  ProviderConfiguration,
  ResourceConfiguration,
} from './config.js';
export { formatDuration } from './duration.js';
export { parseKmsEndpoint } from './endpoint.js';
export { EncryptionConfigError, type EncryptionConfigErrorCode } from './errors.js';
export type { FieldError } from './field-error.js';
export { createEncryptionAtRest, type EncryptionAtRestOptions } from './create.js';
export { grpcConnectors, type KmsConnectors } from './connectors.js';
export { systemClock, type Clock } from './clock.js';
export { decodeSecret } from './validate.js';
export { formatGroupResource, parseGroupResource, rulesFor } from './wildcards.js';
