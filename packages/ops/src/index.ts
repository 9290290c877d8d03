export { OpsError, type OpsErrorCode } from './errors.js';
export {
  openSnapshotSource,
  type SnapshotSource,
  type SnapshotSourceOptions,
} from './sources/snapshot-source.js';
export type { PastKeyValue, Source, StoredKeyValue } from './sources/source.js';
export { describeStoredValue, type ProviderKind, type StoredValueKind } from './stored-value.js';
export { verifyAdvice, type VerifyCause } from './verify/causes.js';
export {
  verify,
  type VerifyFailure,
  type VerifyOptions,
  type VerifyProgress,
  type VerifyResult,
} from './verify/verify.js';
