/**
 * The DER of keys that are a seed: PKCS#8 (RFC 5958) with the seed form of RFC 9881 §6 and RFC 9935 §6, and SubjectPublicKeyInfo. Their
 * AlgorithmIdentifier is an object identifier without parameters, 13 bytes long.
 */

/** @param oid the last byte of 2.16.840.1.101.3.4.x.y and the one before it */
export function nistAlgorithm(oid: readonly [number, number]): Buffer {
  return Buffer.concat([Buffer.from('300b0609608648016503', 'hex'), Buffer.from([0x04, ...oid])]);
}

/** SEQUENCE { INTEGER 0, AlgorithmIdentifier, OCTET STRING { [0] seed } }; the seed has at most 100 bytes. */
export function encodeSeedPkcs8(algorithm: Buffer, seed: Buffer): Buffer {
  return Buffer.concat([pkcs8Header(algorithm, seed.length), seed]);
}

/** Undefined when it is anything but the seed form under this algorithm. A view of `pkcs8`. */
export function readSeedPkcs8(algorithm: Buffer, seedBytes: number, pkcs8: Buffer): Buffer | undefined {
  const header = pkcs8Header(algorithm, seedBytes);
  const isSeed =
    pkcs8.length === header.length + seedBytes && pkcs8.subarray(0, header.length).equals(header);
  return isSeed ? pkcs8.subarray(header.length) : undefined;
}

function pkcs8Header(algorithm: Buffer, seedBytes: number): Buffer {
  const version = Buffer.from([0x02, 0x01, 0x00]);
  const octets = Buffer.from([0x04, seedBytes + 2, 0x80, seedBytes]);
  const contentBytes = version.length + algorithm.length + octets.length + seedBytes;
  return Buffer.concat([Buffer.from([0x30, contentBytes]), version, algorithm, octets]);
}

/** @param publicKey 256 to 65,000 bytes: every length is written in two bytes */
export function encodeSpki(algorithm: Buffer, publicKey: Uint8Array): Buffer {
  const bitString = Buffer.from([0x03, 0x82, 0, 0, 0]);
  bitString.writeUInt16BE(publicKey.length + 1, 2);
  const sequence = Buffer.from([0x30, 0x82, 0, 0]);
  sequence.writeUInt16BE(algorithm.length + bitString.length + publicKey.length, 2);
  return Buffer.concat([sequence, algorithm, bitString, publicKey]);
}
