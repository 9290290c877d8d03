export { OpsError, type OpsErrorCode } from './errors.js';
export type { PastKeyValue, Source, StoredKeyValue } from './sources/source.js';
export { describeStoredValue, type ProviderKind, type StoredValueKind } from './stored-value.js';
