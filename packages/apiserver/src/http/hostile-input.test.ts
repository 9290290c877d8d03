/** What a raw TLS socket can send: the server answers or closes, and goes on serving others. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import tls from 'node:tls';
import { assert as assertProperty, asyncProperty, uint8Array } from 'fast-check';
import { ApiError } from '../errors.js';
import type { TestServer } from './testing/test-server.js';
import { ADMIN_TOKEN, startTestServer } from './testing/test-server.js';

let server: TestServer;
before(async () => {
  server = await startTestServer({
    headersTimeoutMs: 300,
    checkIntervalMs: 50,
    requestTimeoutMs: 300,
    maxInFlight: 4,
    maxBodyBytes: 10_000,
  });
});
after(() => server.close());
afterEach(async () => {
  server.rest.override = undefined;
  const alive = await server.fetch('/livez');
  assert.equal(alive.code, 200, 'the server still serves');
});

const AUTH = `Authorization: Bearer ${ADMIN_TOKEN}\r\n`;

function connect(): tls.TLSSocket {
  return tls.connect({ host: '127.0.0.1', port: server.listener.port, ca: server.serverCa.cert });
}

/** Sends the text and resolves with everything that came back until the server closed. */
function exchange(text: string | Buffer): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect();
    let received = '';
    socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
    socket.on('error', () => resolve(received));
    socket.on('close', () => resolve(received));
    socket.on('secureConnect', () => socket.write(text));
  });
}

function statusCode(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
}

describe('hostile input over a raw TLS socket', () => {
  test('what is no HTTP is refused', async () => {
    for (const text of [
      '\0\0\0\0\0\0\0\0\r\n\r\n',
      'GET \r\n\r\n',
      'GET / HTTP/9.9\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\n',
    ]) {
      assert.match(await exchange(text), /^HTTP\/1\.1 (?:400|408) /, JSON.stringify(text));
    }
  });

  test('two framings of one body are refused: no request smuggling', async () => {
    const both = `POST /api HTTP/1.1\r\nHost: x\r\n${AUTH}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`;
    assert.equal(statusCode(await exchange(both)), 400);
    const twice = `POST /api HTTP/1.1\r\nHost: x\r\n${AUTH}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`;
    assert.equal(statusCode(await exchange(twice)), 400);
  });

  test('headers over the limit are 431', async () => {
    const answer = await exchange(`GET /livez HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(64 * 1024)}\r\n\r\n`);
    assert.equal(statusCode(answer), 431);
  });

  test('a slow header and a slow body are cut off', async () => {
    assert.equal(statusCode(await exchange('GET /livez HTTP/1.1\r\nHost: x\r\nX: ')), 408);
    const body = `POST /api/v1/namespaces/default/secrets HTTP/1.1\r\nHost: x\r\n${AUTH}Content-Length: 100\r\n\r\n{`;
    assert.equal(statusCode(await exchange(body)), 504);
  });

  test('a body over the limit is 413 and ends the connection', async () => {
    const head = `POST /api/v1/namespaces/default/secrets HTTP/1.1\r\nHost: x\r\n${AUTH}`;
    const body = 'a'.repeat(80_000);
    const declared = await exchange(`${head}Content-Length: ${body.length}\r\n\r\n${body}`);
    assert.equal(statusCode(declared), 413);
    assert.match(declared, /Connection: close/);
    const chunked = await exchange(
      `${head}Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    );
    assert.equal(statusCode(chunked), 413);
  });

  test('a small refused body is discarded and the connection goes on', async () => {
    const post = `POST /api/v1/namespaces/default/secrets HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n`;
    const both = await exchange(`${post}helloGET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    assert.deepEqual(both.match(/^HTTP\/1\.1 \d+/gm), ['HTTP/1.1 403', 'HTTP/1.1 200']);
  });

  test('paths that are no percent-encoding are 400, odd ones 404', async () => {
    const ask = (path: string): Promise<string> =>
      exchange(`GET ${path} HTTP/1.1\r\nHost: x\r\n${AUTH}Connection: close\r\n\r\n`);
    for (const path of ['/%', '/%zz', '/api/v1/%ff']) assert.equal(statusCode(await ask(path)), 400, path);
    for (const path of [
      '/../../etc/passwd',
      '//',
      '/__proto__',
      '/constructor',
      '/openapi/v3/../..',
      '/readyz/__proto__',
    ]) {
      assert.equal(statusCode(await ask(path)), 404, path);
    }
    const nested = await ask('/api/v1/namespaces/default/secrets/..%2f..%2fx');
    assert.equal(statusCode(nested), 404, 'an encoded slash separates like a plain one');
  });

  test('a header or query named like a property of Object does nothing', async () => {
    const answer = await exchange(
      `GET /livez?__proto__=1&constructor=2 HTTP/1.1\r\nHost: x\r\n__proto__: x\r\nconstructor: y\r\nConnection: close\r\n\r\n`,
    );
    assert.equal(statusCode(answer), 200);
    assert.equal(({} as Record<string, unknown>)['x'], undefined);
  });

  test('random bytes before and after TLS never stop the server', async () => {
    const seed = Number(process.env['FC_SEED'] ?? 20_260_101);
    await assertProperty(
      asyncProperty(uint8Array({ minLength: 1, maxLength: 400 }), async (bytes) => {
        await exchange(Buffer.concat([Buffer.from(bytes), Buffer.from('\r\n\r\n')]));
      }),
      { seed, numRuns: 60 },
    );
  });
});

describe('a failing REST layer', () => {
  test('an unexpected error is 500 with a number that is in the log, and says nothing else', async () => {
    server.rest.override = () => Promise.reject(new SyntaxError('unexpected token in {"k":"hunter2"}'));
    const answer = await server.fetch('/api/v1/namespaces/default/secrets/a');
    assert.equal(answer.code, 500);
    assert.equal(answer.json()['reason'], 'InternalError');
    const id = /see request ([0-9a-f]{16})/.exec(answer.text)?.[1] ?? 'none';
    assert.ok(server.logLines.some((line) => line.includes(id)));
    assert.doesNotMatch(answer.text + server.logLines.join(''), /hunter2/);
  });

  test('an ApiError keeps its code, reason, details and retry time', async () => {
    server.rest.override = () =>
      Promise.reject(new ApiError(503, 'ServiceUnavailable', 'later', { retryAfterSeconds: 7 }));
    const answer = await server.fetch('/api/v1/namespaces/default/secrets/a');
    assert.equal(answer.code, 503);
    assert.equal(answer.headers['retry-after'], '7');
    assert.equal(answer.json()['reason'], 'ServiceUnavailable');
  });

  test('one that never answers is 504, and its signal is aborted', async () => {
    let signal: AbortSignal | undefined;
    server.rest.override = (request) => {
      signal = request.signal;
      return new Promise(() => undefined);
    };
    const answer = await server.fetch('/api/v1/namespaces/default/secrets/a');
    assert.equal(answer.code, 504);
    assert.equal(answer.json()['reason'], 'Timeout');
    assert.equal(signal?.aborted, true);
  });

  test('too many at once are told to come back', async () => {
    server.rest.override = () => new Promise(() => undefined);
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => server.fetch('/api/v1/namespaces/default/secrets/a')),
    );
    const codes = answers.map(({ code }) => code).toSorted((a, b) => a - b);
    assert.deepEqual(codes, [429, 429, 429, 429, 504, 504, 504, 504]);
    assert.ok(answers.every(({ code, headers }) => code !== 429 || headers['retry-after'] === '1'));
  });
});
