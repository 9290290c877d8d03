export { startKeySets, startPlugin, type Plugin, type PluginOptions } from './plugin.js';
export {
  checkPluginConfig,
  createConfiguredKeySets,
  startConfiguredPlugin,
} from './config/configured-plugin.js';
export type { KeySetOptions } from './key-set.js';
export type { HealthAddress } from './health.js';
export type { Provider, Unwrap, Wrapped } from './provider.js';
export type { KeyCondition, KeyState } from './key-condition.js';
export type { KeySnapshot } from './snapshot.js';
export {
  KmsPluginError,
  ProviderError,
  type Failure,
  type FailureClass,
  type KmsPluginErrorCode,
} from './errors.js';
export type { Clock } from './clock.js';
export type { Logger } from './logger.js';
export { createLocalProvider, type LocalProviderOptions } from './providers/local.js';
export {
  createKeyring,
  isKeyringEncrypted,
  readKeyring,
  rotateKeyring,
  setKeyringPassphrase,
  type KeyringKey,
  type ReadPassphrase,
} from './providers/local-keyring.js';
export { createAwsProvider, type AwsProviderOptions } from './providers/aws.js';
export type { AwsKeyOptions } from './providers/aws-kms-provider.js';
export type { AwsConnectionOptions, AwsCredentials } from './providers/aws-sdk-calls.js';
export { createWaxsealProvider, type WaxsealProviderOptions } from './providers/waxseal.js';
export { createPkcs11Provider, type Pkcs11ProviderOptions } from './providers/pkcs11.js';
export { createPkcs11Key, type Pkcs11KeyOptions } from './providers/pkcs11-create-key.js';
export { pkcs11Mechanisms, type Pkcs11Mechanism } from './providers/pkcs11-mechanisms.js';
export { createVaultProvider, type VaultProviderOptions } from './providers/vault.js';
export type { VaultAuth } from './providers/vault-logins.js';
export { createGcpProvider, type GcpProviderOptions } from './providers/gcp.js';
export { createAzureProvider, type AzureProviderOptions } from './providers/azure.js';
export type { AzureCredentialOptions } from './providers/azure-credentials.js';
export type { AzureCloud } from './providers/azure-key-url.js';
export { createKeyGroup, type KeyGroupOptions } from './recipients/key-group.js';
export { createEscrowKey, type EscrowKey } from './recipients/escrow-key.js';
export { parseEscrowIdentity } from './recipients/escrow-identity.js';
export { recoverDekSource } from './recipients/recover.js';
export { conformanceChecks } from './conformance/checks.js';
export {
  conformanceJson,
  conformanceJunit,
  formatCheckResult,
  formatConformanceSummary,
} from './conformance/report.js';
export { runConformance, type ConformanceOptions } from './conformance/run.js';
export { explainKeys, type Explanation } from './explain/explain.js';
export { formatExplanation } from './explain/report.js';
export { systemClock } from './clock.js';
