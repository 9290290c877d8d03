// Goal: closing answers the calls that have arrived, and waits for nobody else: not for a caller that keeps calling, nor for half a call.
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { pino } from 'pino';
import type { HttpResponse } from './message.js';
import { listen } from './server.js';

const call = 'POST / HTTP/1.1\r\nHost: kms\r\nContent-Length: 2\r\n\r\n{}';
const answer: HttpResponse = {
  status: 200,
  contentType: 'application/x-amz-json-1.1',
  body: '{}',
  requestId: '6dd014e1-74c1-4a9b-b0d9-7dbc1fb5044f',
};

async function open(port: number, bytes: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(bytes);
  return socket;
}

async function received(socket: Socket): Promise<string> {
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  return text;
}

test('a call under way is answered, its connection ends, and half calls are not waited for', async () => {
  const events = new EventEmitter();
  const server = await listen(
    { kind: 'http' },
    '127.0.0.1',
    0,
    async () => {
      events.emit('arrived');
      await once(events, 'answer');
      return answer;
    },
    pino({ level: 'silent' }),
    Date.now,
  );
  const silent = await open(server.port, '');
  const halfHeader = await open(server.port, 'POST / HTTP/1.1\r\nHost: k');
  const halfBody = await open(server.port, call.slice(0, -1));
  const arrived = once(events, 'arrived');
  const whole = await open(server.port, call);
  const text = received(whole);
  await arrived;

  const closed = server.close();
  events.emit('answer');
  assert.match(await text, /^HTTP\/1\.1 200 OK\r\n[^]*Connection: close\r\n[^]*\{\}$/);
  await closed;
  for (const socket of [silent, halfHeader, halfBody]) socket.destroy();
});

test('without a call under way closing ends at once, whoever is connected', async () => {
  const server = await listen(
    { kind: 'http' },
    '127.0.0.1',
    0,
    () => Promise.resolve(answer),
    pino({ level: 'silent' }),
    Date.now,
  );
  const halfHeader = await open(server.port, 'POST / HTTP/1.1\r\nHost: k');
  await server.close();
  assert.equal(await received(halfHeader).catch(() => ''), '');
});
