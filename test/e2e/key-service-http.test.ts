/**
 * Goal: what clients and hostile callers do to HTTP does not confuse the key service or stop it. Method: a request signed by the AWS
 * SDK, sent again over bare sockets in the forms HTTP/1.1 allows; connections that say nothing, too much, or nonsense.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { connect, type TLSSocket } from 'node:tls';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { EncryptCommand, KMSClient, ListKeysCommand } from '@aws-sdk/client-kms';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { startKeyService, type KeyServiceUnderTest } from '../support/key-service.js';

const KEY_ID = '00000000-0000-4000-8000-000000000001';

let kms: KeyServiceUnderTest;

before(async () => {
  kms = await startKeyService({ keys: [{ region: 'us-east-1', keyId: KEY_ID }] });
});
after(() => kms.close());

interface SignedRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A ListKeys as the SDK signs it, its length among what is signed or not. */
async function signedRequest(withLength = true): Promise<SignedRequest> {
  const seen: SignedRequest[] = [];
  const settings = kms.settings();
  const client = new KMSClient({
    ...settings,
    requestHandler: {
      handle: (...[request, options]: Parameters<NodeHttpHandler['handle']>) => {
        seen.push({ headers: request.headers, body: Buffer.from(request.body as Uint8Array).toString() });
        return settings.requestHandler.handle(request, options);
      },
    },
  });
  client.middlewareStack.add(
    (next) => (call) => {
      const { headers } = call.request as { readonly headers: Record<string, string> };
      if (!withLength) delete headers['content-length'];
      return next(call);
    },
    { step: 'build', priority: 'low' },
  );
  await client.send(new ListKeysCommand({}));
  client.destroy();
  const [request] = seen;
  assert.ok(request);
  return request;
}

async function open(): Promise<TLSSocket> {
  const { hostname, port } = new URL(kms.ready.endpoint);
  const socket = connect({ host: hostname, port: Number(port), ca: readFileSync(kms.ready.caFile) });
  // A server that hangs up in the middle of a hostile write is what some of these tests want.
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  return socket;
}

const head = ({ headers }: SignedRequest, without: readonly string[] = []): string =>
  `POST / HTTP/1.1\r\n${Object.entries(headers)
    .filter(([name]) => !without.includes(name.toLowerCase()))
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}`;

/** Everything the server says until it hangs up. */
async function answers(socket: TLSSocket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(chunks).toString('latin1');
}

const statuses = (text: string): readonly string[] =>
  [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status ?? '');

test('many calls use one connection', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: readFileSync(kms.ready.caFile) });
  const connections = new Set<unknown>();
  agent.on('free', (socket) => connections.add(socket));
  const client = new KMSClient({
    ...kms.settings(),
    requestHandler: new NodeHttpHandler({ httpsAgent: agent }),
  });
  for (let call = 0; call < 20; call++) {
    await client.send(new EncryptCommand({ KeyId: KEY_ID, Plaintext: Buffer.from('x') }));
  }
  client.destroy();
  assert.equal(connections.size, 1);
});

test('pipelined requests are answered in order', async () => {
  const request = await signedRequest();
  const socket = await open();
  const unsigned = head(request, ['authorization']);
  const last = `${head(request)}Connection: close\r\n\r\n${request.body}`;
  socket.write(`${head(request)}\r\n${request.body}${unsigned}\r\n${request.body}${last}`);
  const text = await answers(socket);
  assert.deepEqual(statuses(text), ['200', '400', '200']);
  assert.match(text, /MissingAuthenticationTokenException/);
});

test('Expect: 100-continue is answered before the body is sent', async () => {
  const request = await signedRequest();
  const socket = await open();
  socket.write(`${head(request)}Expect: 100-continue\r\nConnection: close\r\n\r\n`);
  const [first] = (await once(socket, 'data')) as [Buffer];
  assert.match(first.toString('latin1'), /^HTTP\/1\.1 100 Continue/);
  socket.write(request.body);
  assert.deepEqual(statuses(await answers(socket)), ['200']);
});

test('a chunked body is read, whatever its pieces', async () => {
  const request = await signedRequest(false);
  const socket = await open();
  socket.write(`${head(request, ['content-length'])}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n`);
  for (const byte of request.body) socket.write(`1\r\n${byte}\r\n`);
  socket.write('0\r\n\r\n');
  assert.deepEqual(statuses(await answers(socket)), ['200']);
});

const broken: readonly (readonly [string, string, string])[] = [
  ['64 KiB of headers', `POST / HTTP/1.1\r\nHost: x\r\nX-Long: ${'a'.repeat(65_536)}\r\n\r\n`, '431'],
  ['two lengths', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab', '400'],
  [
    'a length and chunks',
    'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    '400',
  ],
  [
    'a chunk whose size is no number',
    'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
    '400',
  ],
  ['a line that is no request', 'EHLO mail.example\r\n\r\n', '400'],
  ['no host', 'POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n', '400'],
];

for (const [name, bytes, status] of broken) {
  test(`${name}: ${status}, and the service goes on`, async () => {
    const socket = await open();
    socket.write(bytes);
    assert.deepEqual(statuses(await answers(socket)).slice(-1), [status]);
    await signedRequest();
  });
}

test('a body larger than any request is refused once it is sent; a far larger one while it is', async () => {
  const request = await signedRequest();
  const block = Buffer.alloc(65_536, 0x20);
  const send = async (blocks: number): Promise<readonly string[]> => {
    const socket = await open();
    const answered = answers(socket);
    const length = `Content-Length: ${blocks * block.length}\r\nConnection: close\r\n\r\n`;
    socket.write(`${head(request, ['content-length'])}${length}`);
    for (let sent = 0; sent < blocks && socket.writable; sent++) {
      if (!socket.write(block)) await Promise.race([once(socket, 'drain'), answered]).catch(() => undefined);
    }
    return statuses(await answered);
  };
  assert.deepEqual(await send(80), ['413']);
  // Whether the answer is still read depends on the network; that the connection ends does not.
  await send(400);
  await signedRequest();
});

test('300 connections that say nothing, or begin and wait, hinder nobody', async () => {
  const idle = await Promise.all(Array.from({ length: 300 }, open));
  for (const [index, socket] of idle.entries()) {
    if (index % 2 === 0) socket.write('POST / HTTP/1.1\r\nHost: x\r\nX-Slow: ');
  }
  await kms.client().send(new ListKeysCommand({}));
  for (const socket of idle) socket.destroy();
});

test('a client whose clock is an hour behind sets it by the answer', async () => {
  const client = new KMSClient({ ...kms.settings(), systemClockOffset: -3_600_000, maxAttempts: 2 });
  await client.send(new ListKeysCommand({}));
  assert.ok(Math.abs(client.config.systemClockOffset) < 60_000);
  client.destroy();
});
