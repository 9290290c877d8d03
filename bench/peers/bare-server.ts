/**
 * The floor a Node API server can stand on: TLS, AES-GCM, one LMDB commit on disk before each answer, and nothing else.
 * No authentication, no authorisation, no validation, no revisions, no watch.
 *
 *   node bare-server.js CERT KEY DATA_DIR      prints its URL
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { open } from 'lmdb';

const [cert = '', key = '', dataDir = ''] = process.argv.slice(2);
// As the store does: the promise of a write settles after its commit is on disk.
const database = open<Buffer, string>({ path: dataDir, encoding: 'binary', overlappingSync: false });
const dek = randomBytes(32);

function seal(plaintext: Buffer, aad: string): Buffer {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', dek, nonce).setAAD(Buffer.from(aad));
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

function open_(sealed: Buffer, aad: string): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', dek, sealed.subarray(0, 12)).setAAD(Buffer.from(aad));
  decipher.setAuthTag(sealed.subarray(-16));
  return Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]);
}

const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (incoming, outgoing) => {
  const answer = (status: number, body: Buffer) => {
    outgoing.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length });
    outgoing.end(body);
  };
  if (incoming.method === 'GET') {
    const stored = database.get(incoming.url ?? '');
    return stored === undefined
      ? answer(404, Buffer.from('{}'))
      : answer(200, open_(stored, incoming.url ?? ''));
  }
  const chunks: Buffer[] = [];
  incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
  incoming.on('end', () => {
    const object = JSON.parse(Buffer.concat(chunks).toString()) as { metadata: { name: string } };
    const path = incoming.method === 'PUT' ? (incoming.url ?? '') : `${incoming.url}/${object.metadata.name}`;
    const body = Buffer.from(JSON.stringify(object));
    void database.put(path, seal(body, path)).then(() => answer(201, body));
  });
});
server.listen(0, '127.0.0.1', () =>
  console.log(`https://127.0.0.1:${(server.address() as AddressInfo).port}`),
);
