export { Pkcs11Error, type Pkcs11ErrorCode } from './errors.js';
export { openPkcs11Module } from './module.js';
export type * from './token.js';
