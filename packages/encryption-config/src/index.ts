export * from './at-rest.js';
export { checkEncryptionConfig, type CheckOptions, type CheckResult } from './check.js';
export { EncryptionConfigError, type EncryptionConfigErrorCode } from './errors.js';
export type { FieldError } from './field-error.js';
export { createEncryptionAtRest, type EncryptionAtRestOptions } from './create.js';
export { grpcConnectors, type KmsConnectors } from './connectors.js';
export { systemClock, type Clock } from './clock.js';
