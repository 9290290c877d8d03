export { Pkcs11Error, type Pkcs11ErrorCode } from './errors.js';
export type * from './token.js';
