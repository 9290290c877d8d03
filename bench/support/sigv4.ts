/** Signs requests of AWS's JSON protocol (AWS General Reference, "Create a signed AWS API request"), as cheaply as can be. */
import { createHash, createHmac } from 'node:crypto';

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
}

/** A body that is sent many times: its hash is worked out once. */
export interface SignableBody {
  readonly text: string;
  readonly sha256: string;
}

/** @returns the bytes of the whole request; `nonce`, when given, is a signed header that makes the signature its own */
export type SignRequest = (
  operation: string,
  body: SignableBody,
  timestamp: string,
  nonce?: string,
) => Buffer;

export const contentType = 'application/x-amz-json-1.1';
const nonceHeader = 'amz-sdk-invocation-id';

export function createSigner(
  host: string,
  { accessKeyId, secretAccessKey, region }: Credentials,
): SignRequest {
  const keys = new Map<string, Buffer>();
  return (operation, body, timestamp, nonce) => {
    const day = timestamp.slice(0, 8);
    let key = keys.get(day);
    if (key === undefined) keys.set(day, (key = signingKey(secretAccessKey, day, region)));
    const target = `TrentService.${operation}`;
    const signedHeaders = `${nonce === undefined ? '' : `${nonceHeader};`}content-type;host;x-amz-date;x-amz-target`;
    const nonceLine = nonce === undefined ? '' : `${nonceHeader}:${nonce}\n`;
    const canonical = `POST\n/\n\n${nonceLine}content-type:${contentType}\nhost:${host}\nx-amz-date:${timestamp}\nx-amz-target:${target}\n\n${signedHeaders}\n${body.sha256}`;
    const scope = `${day}/${region}/kms/aws4_request`;
    const signature = createHmac('sha256', key)
      .update(`AWS4-HMAC-SHA256\n${timestamp}\n${scope}\n${sha256(canonical)}`)
      .digest('hex');
    return Buffer.from(
      `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: ${contentType}\r\nContent-Length: ${Buffer.byteLength(body.text)}\r\nX-Amz-Target: ${target}\r\nX-Amz-Date: ${timestamp}\r\n${nonce === undefined ? '' : `${nonceHeader}: ${nonce}\r\n`}Authorization: AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${signedHeaders}, Signature=${signature}\r\n\r\n${body.text}`,
    );
  };
}

export function signable(content: unknown): SignableBody {
  const text = JSON.stringify(content);
  return { text, sha256: sha256(text) };
}

/** YYYYMMDDTHHMMSSZ. */
export function timestampOf(millis: number): string {
  return new Date(millis).toISOString().replaceAll(/[-:]|\.\d{3}/g, '');
}

export function signingKey(secret: string, day: string, region: string): Buffer {
  const step = (key: string | Buffer, data: string): Buffer =>
    createHmac('sha256', key).update(data).digest();
  return step(step(step(step(`AWS4${secret}`, day), region), 'kms'), 'aws4_request');
}

export function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}
