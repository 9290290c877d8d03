/** Messages of the KMS v2 contract as gRPC frames, made before the measuring (kms/v2/api.proto; gRPC over HTTP/2, "Length-Prefixed-Message"). */

const field = (number: number, value: Buffer): Buffer =>
  Buffer.concat([Buffer.from([(number << 3) | 2]), varint(value.length), value]);

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}

function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

const uid = Buffer.from('5a4f2d1c-0b3e-4f6a-9c8d-7e6f5a4b3c2d');

export const statusFrame = frame(Buffer.alloc(0));

export function encryptFrame(plaintext: Buffer): Buffer {
  return frame(Buffer.concat([field(1, plaintext), field(2, uid)]));
}

export function decryptFrame(ciphertext: Buffer, keyId: string): Buffer {
  return frame(Buffer.concat([field(1, ciphertext), field(2, uid), field(3, Buffer.from(keyId))]));
}
