/**
 * The contract's rules for single fields; each returns what is wrong, or undefined.
 *
 * Source: k8s.io/apiserver kmsv2 `ValidateKeyID`, `validateEncryptedDEKSource`, `validateAnnotations`, and
 * k8s.io/apimachinery `IsFullyQualifiedDomainName` (RFC 1123).
 */
import { annotationsMaxBytes, keyIdMaxBytes } from './limits.js';

/** @returns the reason `keyId` may not be used, or undefined */
export function keyIdProblem(keyId: string): string | undefined {
  const bytes = Buffer.byteLength(keyId);
  if (bytes === 0) return 'keyId is empty';
  if (bytes > keyIdMaxBytes) return `keyId is ${bytes} bytes, the limit is ${keyIdMaxBytes}`;
  return undefined;
}

/** @returns the reason bytes of this length may not be sent as `name`, or undefined */
export function lengthProblem(
  name: string,
  bytes: number,
  minBytes: number,
  maxBytes: number,
): string | undefined {
  if (bytes < minBytes)
    return bytes === 0 ? `${name} is empty` : `${name} is ${bytes} bytes, at least ${minBytes} are needed`;
  if (bytes > maxBytes) return `${name} is ${bytes} bytes, the limit is ${maxBytes}`;
  return undefined;
}

const dns1123Label = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
const dnsNameMaxBytes = 253;

/** True for a name of at least two RFC 1123 labels; one closing dot is allowed. */
export function isFullyQualifiedDomainName(name: string): boolean {
  const bare = name.endsWith('.') ? name.slice(0, -1) : name;
  if (bare.length > dnsNameMaxBytes) return false;
  const labels = bare.split('.');
  return labels.length >= 2 && labels.every((label) => dns1123Label.test(label));
}

/** @returns the reason these annotations may not be stored, or undefined; names a key only by its position */
export function annotationsProblem(annotations: Readonly<Record<string, Buffer>>): string | undefined {
  let total = 0;
  let position = 0;
  for (const [key, value] of Object.entries(annotations)) {
    position += 1;
    if (!isFullyQualifiedDomainName(key)) {
      return `the key of annotation ${position} is not a fully qualified domain name`;
    }
    total += key.length + value.length;
  }
  if (total > annotationsMaxBytes)
    return `annotations are ${total} bytes, the limit is ${annotationsMaxBytes}`;
  return undefined;
}
