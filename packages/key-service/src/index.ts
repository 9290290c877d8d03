export { openConfigFile, type ConfigFile } from './config-file.js';
export { createPrincipalDirectory } from './access/principal-directory.js';
export { parsePrincipals, type AccountConfig, type UserConfig } from './access/principals-file.js';
export { createAccessKey, type NewAccessKey, type PrincipalDirectory } from './access/principals.js';
export type { EnsuredKey, EnsureKeyRequest } from './ensure-key.js';
export {
  type AccessExplanation,
  type AccessFacts,
  type AccessQuestion,
  accessFactsOfSeeds,
  explainAccess,
  openAccessFacts,
} from './explain-access.js';
export { KeyServiceError, type KeyServiceErrorCode } from './errors.js';
export { startKeyService, type KeyService, type KeyServiceOptions } from './key-service.js';
export { type KeySeed, parseKeySeeds } from './keys/seed-file.js';
export { verifyAudit, type AuditFinding, type AuditVerification } from './audit/verify.js';
export { createBackup, restoreBackup, type Backup, type BackupSummary } from './backup/backup.js';
export { findRunningKeyService, type RunningKeyService } from './control/control-client.js';
export { reportCost, type MonthlyCost } from './cost/cost-report.js';
export type { HealthAddress } from './health/health-server.js';
export {
  createRootKeyProtector,
  ROOT_KEY_PROTECTOR_KINDS,
  type RootKeyProtectorChoice,
  type RootKeyProtectorKind,
} from './root-key/choice.js';
export type { RootKeyProtector } from './root-key/protector.js';
export { openRootKey, resealRootKey, type RootKeyProtectors } from './root-key/root-key.js';
export type { Quotas } from './throttle/throttle.js';
export { parseThrottling } from './throttle/throttling-file.js';
