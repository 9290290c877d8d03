export { createPrincipalDirectory } from './access/principal-directory.js';
export {
  parsePrincipals,
  type AccountConfig,
  type UserConfig,
} from './access/principals-file.js';
export { createAccessKey, type NewAccessKey, type PrincipalDirectory } from './access/principals.js';
export type { EnsuredKey, EnsureKeyRequest } from './ensure-key.js';
export { KeyServiceError, type KeyServiceErrorCode } from './errors.js';
export { type KeySeed, parseKeySeeds } from './keys/seed-file.js';
export { startKeyService, type KeyService, type KeyServiceOptions } from './key-service.js';
export type { RootKeyProtector } from './root-key/protector.js';
