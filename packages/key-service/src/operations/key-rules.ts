/** Which keys cryptographic operations work on. */
import type { KeyRule } from './operation.js';

/** Every cryptographic operation: any name, any account, Enabled keys only. */
const CRYPTOGRAPHIC: KeyRule = { aliases: true, crossAccount: true, states: 'enabled' };

/** Those that encrypt or decrypt. */
export const ENCRYPTION: KeyRule = { ...CRYPTOGRAPHIC, usage: 'ENCRYPT_DECRYPT' };

export const SIGNING: KeyRule = { ...CRYPTOGRAPHIC, usage: 'SIGN_VERIFY' };

export const MACS: KeyRule = { ...CRYPTOGRAPHIC, usage: 'GENERATE_VERIFY_MAC' };

export const ENCAPSULATION: KeyRule = { ...CRYPTOGRAPHIC, usage: 'ENCAPSULATE_DECAPSULATE' };

export const KEY_AGREEMENT: KeyRule = { ...CRYPTOGRAPHIC, usage: 'KEY_AGREEMENT' };
