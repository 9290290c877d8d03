/**
 * The prefixes that a configuration reads, and values whose own prefix is none of them because it was cut or changed.
 */
import type { EncryptionConfiguration } from '@waxseal/encryption-config';
import { staticKinds } from '../lint/readers.js';

/** More wrong bits than this are another prefix. */
const NEAR_BITS = 4;
/** `k8s:enc:<provider>:<version>:<name>:` */
const PREFIX_COLONS = 5;
const COLON = 0x3a;
const SEALED = Buffer.from('k8s:enc:');
/** As many wrong bits as plaintext has by chance once in 10^11. */
const SEALED_WRONG_BITS = 4;

/** Each once. */
export function configuredPrefixes({ resources }: EncryptionConfiguration): readonly Buffer[] {
  const prefixes = resources.flatMap(({ providers }) =>
    providers.flatMap((provider) => [
      ...staticKinds.flatMap((kind) =>
        (provider[kind]?.keys ?? []).map(({ name }) => `k8s:enc:${kind}:v1:${name}:`),
      ),
      ...(provider.kms === undefined ? [] : [`k8s:enc:kms:${provider.kms.apiVersion}:${provider.kms.name}:`]),
    ]),
  );
  return [...new Set(prefixes)].map((prefix) => Buffer.from(prefix));
}

/** A value that ends before its prefix does; the empty one too. */
export function endsWithinPrefix(value: Buffer, prefixes: readonly Buffer[]): boolean {
  return prefixes.some(
    (prefix) => value.length < prefix.length && value.equals(prefix.subarray(0, value.length)),
  );
}

/** The configured prefix that a value's first bytes nearly are. */
export function nearPrefix(value: Buffer, prefixes: readonly Buffer[]): Buffer | undefined {
  return prefixes.find(
    (prefix) =>
      value.length >= prefix.length && differentBits(prefix, value.subarray(0, prefix.length)) <= NEAR_BITS,
  );
}

/** What is read as plaintext because its prefix was cut or changed. */
export function wasSealed(data: Buffer): boolean {
  return data.length < SEALED.length
    ? data.equals(SEALED.subarray(0, data.length))
    : differentBits(SEALED, data) <= SEALED_WRONG_BITS;
}

/** What follows `k8s:enc:<provider>:<version>:<name>:`. */
export function bodyOf(value: Buffer): Buffer {
  let end = -1;
  for (let colons = 0; colons < PREFIX_COLONS; colons++) end = value.indexOf(COLON, end + 1);
  return value.subarray(end + 1);
}

/** @param b as long as `a`, or longer */
export function differentBits(a: Buffer, b: Buffer): number {
  let bits = 0;
  for (const [i, byte] of a.entries()) {
    for (let rest = byte ^ (b[i] ?? 0); rest !== 0; rest &= rest - 1) bits++;
  }
  return bits;
}
