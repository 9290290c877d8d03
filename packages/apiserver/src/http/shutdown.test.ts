import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import { test } from 'node:test';
import type { RestResponse } from '../rest/contract.js';
import { ADMIN_TOKEN, startTestServer } from './testing/test-server.js';

test('closing ends watches, finishes what is at work, refuses what is new, and happens once', async () => {
  const server = await startTestServer();
  const watch = await new Promise<IncomingMessage>((resolve, reject) => {
    https
      .get(
        `${server.listener.url}/api/v1/secrets?watch=1`,
        { agent: false, ca: server.serverCa.cert, headers: { authorization: `Bearer ${ADMIN_TOKEN}` } },
        resolve,
      )
      .on('error', reject);
  });
  watch.resume();
  const watchEnded = once(watch, 'end');

  let finish: (response: RestResponse) => void = () => undefined;
  const arrived = new Promise<void>((resolve) => {
    server.rest.override = () =>
      new Promise((answer) => {
        finish = answer;
        resolve();
      });
  });
  const slow = server.fetch('/api/v1/namespaces/default/secrets/a');
  await arrived;

  const closed = server.listener.close();
  assert.equal(server.listener.close(), closed, 'a second close is the first');
  await watchEnded;
  await assert.rejects(server.fetch('/livez', { agent: new https.Agent({ ca: server.serverCa.cert }) }), {
    code: 'ECONNREFUSED',
  });
  finish({ kind: 'object', code: 200, object: Buffer.from('{"kind":"Secret"}'), warnings: [] });
  assert.equal((await slow).code, 200);
  await server.close();
});

test('what does not finish is cut off after the grace period', async () => {
  const server = await startTestServer({ shutdownGraceMs: 50 });
  const arrived = new Promise<void>((resolve) => {
    server.rest.override = () => {
      resolve();
      return new Promise(() => undefined);
    };
  });
  const stuck = assert.rejects(server.fetch('/api/v1/namespaces/default/secrets/a'));
  await arrived;
  await server.close();
  await stuck;
});
