import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import { after, before, describe, test } from 'node:test';
import { decodeKubeProtobuf } from '@waxseal/api-types';
import type { RestWatchSink } from '../rest/contract.js';
import type { TestServer } from './testing/test-server.js';
import { ADMIN_TOKEN, startTestServer } from './testing/test-server.js';

const WATCH = '/api/v1/namespaces/default/secrets?watch=true';
// Well above what the sockets between server and client hold (some 10 MiB at most).
const MAX_BUFFERED_BYTES = 48 * 1024 * 1024;

let server: TestServer;
before(async () => {
  server = await startTestServer({ watch: { maxBufferedBytes: MAX_BUFFERED_BYTES, stallTimeoutMs: 200 } });
});
after(() => server.close());

interface OpenWatch {
  readonly answer: IncomingMessage;
  readonly sink: RestWatchSink;
  /** The next `bytes` of the answer. */
  read(bytes: number): Promise<Buffer>;
  /** One line. */
  line(): Promise<Record<string, unknown>>;
  close(): void;
}

function openWatch(path = WATCH, headers: Record<string, string> = {}): Promise<OpenWatch> {
  return new Promise((resolve, reject) => {
    const request = https.get(
      server.listener.url + path,
      {
        agent: false,
        ca: server.serverCa.cert,
        headers: { authorization: `Bearer ${ADMIN_TOKEN}`, ...headers },
      },
      (answer) => {
        let buffered = Buffer.alloc(0);
        answer.on('error', () => undefined);
        const more = async (): Promise<void> => {
          const chunk = answer.read() as Buffer | null;
          if (chunk === null) await once(answer, 'readable');
          else buffered = Buffer.concat([buffered, chunk]);
        };
        const take = (bytes: number): Buffer => {
          const taken = buffered.subarray(0, bytes);
          buffered = buffered.subarray(bytes);
          return taken;
        };
        const sink = [...server.rest.sinks].at(-1);
        assert.ok(sink !== undefined);
        resolve({
          answer,
          sink,
          async read(bytes) {
            while (buffered.length < bytes) await more();
            return take(bytes);
          },
          async line() {
            while (!buffered.includes(10)) await more();
            return JSON.parse(take(buffered.indexOf(10) + 1).toString()) as Record<string, unknown>;
          },
          close: () => request.destroy(),
        });
      },
    );
    request.on('error', reject);
  });
}

function object(name: string, padding = 0): Buffer {
  const metadata = { name, resourceVersion: '5' };
  const data = { k: Buffer.alloc(padding).toString('base64') };
  return Buffer.from(JSON.stringify({ kind: 'Secret', apiVersion: 'v1', metadata, type: 'Opaque', data }));
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

describe('watch', () => {
  test('each event is a line; bookmarks and errors pass through; the end ends the answer', async () => {
    const watch = await openWatch();
    assert.equal(watch.answer.statusCode, 200);
    assert.equal(watch.answer.headers['content-type'], 'application/json');
    for (const type of ['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR'] as const) {
      watch.sink.onEvent({ type, object: object(type) });
    }
    for (const type of ['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR']) {
      const event = await watch.line();
      assert.equal(event['type'], type);
      assert.deepEqual(event['object'], JSON.parse(object(type).toString()));
    }
    watch.sink.onEnd();
    watch.answer.resume();
    await once(watch.answer, 'end');
    await until(() => !server.rest.sinks.has(watch.sink));
  });

  test('as Table, columns come with the first event only', async () => {
    const watch = await openWatch(WATCH, { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' });
    watch.sink.onEvent({ type: 'ADDED', object: object('a') });
    watch.sink.onEvent({ type: 'ADDED', object: object('b') });
    const first = (await watch.line())['object'] as Record<string, unknown>;
    const second = (await watch.line())['object'] as Record<string, unknown>;
    assert.ok(Array.isArray(first['columnDefinitions']));
    assert.equal(second['columnDefinitions'], null);
    assert.equal((second['rows'] as { cells: unknown[] }[])[0]?.cells[0], 'b');
    assert.deepEqual(second['metadata'], { resourceVersion: '5' });
    watch.close();
  });

  test('protobuf frames are length-prefixed', async () => {
    const watch = await openWatch(WATCH, { accept: 'application/vnd.kubernetes.protobuf' });
    assert.equal(watch.answer.headers['content-type'], 'application/vnd.kubernetes.protobuf;stream=watch');
    watch.sink.onEvent({ type: 'ADDED', object: object('a') });
    const length = (await watch.read(4)).readUInt32BE(0);
    const frame = await watch.read(length);
    const inner = frame.subarray(frame.indexOf('k8s\0'));
    assert.equal(decodeKubeProtobuf(inner).metadata.name, 'a');
    watch.close();
  });

  test('YAML cannot be streamed', async () => {
    assert.equal((await server.fetch(WATCH, { headers: { accept: 'application/yaml' } })).code, 406);
    const table = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
    assert.equal((await server.fetch(`${WATCH}&includeObject=Odd`, { headers: table })).code, 400);
  });

  test('timeoutSeconds ends it', async () => {
    const watch = await openWatch(`${WATCH}&timeoutSeconds=1`);
    watch.answer.resume();
    await once(watch.answer, 'end');
  });

  test('a client that goes away stops the watch', async () => {
    const watch = await openWatch();
    watch.close();
    await until(() => !server.rest.sinks.has(watch.sink));
  });

  test('a client that does not read is disconnected, and memory stays bounded', async () => {
    const watch = await openWatch();
    watch.answer.pause();
    const event = { type: 'ADDED', object: object('big', 48 * 1024) } as const;
    let sent = 0;
    // Every event is offered at once: the bound alone stops it.
    while (server.rest.sinks.has(watch.sink) && sent < 10_000) {
      watch.sink.onEvent(event);
      sent += 1;
      if (sent % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(sent < 10_000, 'the watch was ended');
    assert.match(server.logLines.join(''), /watch disconnected/);
    watch.close();
  });

  test('a client that stalls is disconnected though little waits', async () => {
    const watch = await openWatch();
    watch.answer.pause();
    // More than the sockets between them hold, less than the bound.
    for (let i = 0; i < 400; i += 1) {
      watch.sink.onEvent({ type: 'ADDED', object: object('x', 48 * 1024) });
    }
    assert.notEqual(watch.sink.drained?.(), undefined, 'the producer is told to wait');
    watch.close();
    await until(() => !server.rest.sinks.has(watch.sink));
  });
});
