export { OpsError, type OpsErrorCode } from './errors.js';
export { openDataDirSource } from './sources/data-dir-source.js';
export { refuseWrongPrefix } from './sources/prefix-check.js';
export { openEtcdSource, type EtcdSourceOptions } from './sources/etcd-source.js';
export { againWhenCompacted, openUnlessAborted } from './sources/store-reading.js';
export type { StoreSourceOptions } from './sources/store-source.js';
export {
  openSnapshotSource,
  type SnapshotSource,
  type SnapshotSourceOptions,
} from './sources/snapshot-source.js';
export { generateConfig } from './generate/config.js';
export { generateKey } from './generate/key.js';
export { planMigration, plaintextConfig } from './generate/migration.js';
export { etcdVariables, formatPlan, migrationPlan, type PlanEtcd } from './generate/plan.js';
export type { MigrationTarget } from './generate/target.js';
export { anyAtLeast, type Finding, type FindingId, type Severity } from './lint/finding.js';
export type { FileStatus, LookAtFile } from './lint/file-checks.js';
export { type Inventory, inventoryOf } from './lint/inventory.js';
export { type ConfigText, lintConfig, type LintOptions } from './lint/lint.js';
export {
  rewrap,
  type RewrapFailure,
  type RewrapOptions,
  type RewrapProgress,
  type RewrapReport,
} from './rewrap/rewrap.js';
export { readKubeconfig } from './rewrap-via-api/kubeconfig.js';
export type { PatchType } from './rewrap-via-api/empty-patch.js';
export { leftOver, type WrittenGroup } from './rewrap-via-api/left-over.js';
export { rewrapViaApi, type RewrapViaApiReport } from './rewrap-via-api/rewrap-via-api.js';
export { refuseUnconfiguredKey } from './retire/configured-key.js';
export { parseKeyReference, type KeyReference } from './retire/key-reference.js';
export { mayRetire, type Need, type RetireOptions, type RetireReport } from './retire/retire.js';
export { abandonRotation } from './rotate/abandon-rotation.js';
export { planRotation } from './rotate/plan-rotation.js';
export { nextStep, readRotationState, type RotationState } from './rotate/rotation-state.js';
export type { RotationTools } from './rotate/rotation-tools.js';
export { runRotation, type RotationOutcome } from './rotate/run-rotation.js';
export type { WantedChange } from './rotate/wanted-change.js';
export type { PastKeyValue, Source, StoredKeyValue } from './sources/source.js';
export { describeStoredValue, type ProviderKind, type StoredValueKind } from './stored-value.js';
export { decodeStoredObject } from './verify/decode-object.js';
export { verifyAdvice, type VerifyCause } from './verify/causes.js';
export { verify, type VerifyOptions, type VerifyProgress, type VerifyResult } from './verify/verify.js';
export type { VerifyFailure } from './verify/decision.js';
export {
  checkPolicy,
  parsePolicy,
  requireSealed,
  resourcesNotStored,
  type PolicyRule,
  type PolicyViolation,
} from './scan/policy.js';
export {
  DEK_SOURCES_MAX,
  scan,
  type DekSourceTally,
  type ScanGroup,
  type ScanOptions,
  type ScanResult,
} from './scan/scan.js';
export {
  errorPatterns,
  explainError,
  type ErrorExplanation,
  type ErrorSubject,
  type ExplainedError,
} from './explain-error/explain-error.js';
export { escrowConnectors } from './recover/escrow-connectors.js';
export { openManifestFolder } from './recover/manifest-folder.js';
export {
  formatRecovered,
  manifestFormats,
  type ManifestFormat,
  type Writable,
} from './recover/manifest-text.js';
export { patientConnectors } from './recover/patient-connectors.js';
export { recoverObjects, type ManifestForm, type Recovered } from './recover/recover.js';
export { reencryptSnapshot, type ReencryptResult } from './recover/reencrypt.js';
export {
  residueOfDataDir,
  residueOfEtcd,
  residueOfMember,
  residueOfSnapshot,
  type ResidueOptions,
  type ResidueReport,
} from './residue/residue.js';
export { fixDataDir, fixEtcd, type ResidueFix } from './residue/fix.js';
export { parseMarker } from './residue/marker.js';
