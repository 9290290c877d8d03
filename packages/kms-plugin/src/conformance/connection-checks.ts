/** Connections: how API servers address a plugin, and peers that do nothing, half of something, or leave. */
import { connect, type Socket } from 'node:net';
import { rules, held, type Bench, type Check } from './check.js';
import { breach, expectAnswer, type KmsCalls } from './kms-calls.js';

const connectionsAtOnce = 32;
const idlePeers = 16;
const cancelledCalls = 16;

/** As grpc-go makes it of a path (v1 clients), `localhost` (v2 clients), and an abstract name. */
const authorities = (netPath: string): readonly string[] => [
  'localhost',
  encodeURIComponent(netPath.replace('\0', '@')),
  '@waxseal-conformance',
];

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const emptySettings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
/** A HEADERS frame of 200 bytes on stream 1, of which the first 9 and 20 more are sent. */
const halfHeaders = Buffer.concat([Buffer.from([0, 0, 200, 1, 4, 0, 0, 0, 1]), Buffer.alloc(20, 0x40)]);

async function withPeers<T>(bench: Bench, openings: readonly Buffer[], work: () => Promise<T>): Promise<T> {
  const peers: Socket[] = [];
  try {
    for (const bytes of openings) {
      const peer = connect(bench.netPath);
      peers.push(peer);
      peer.on('error', () => {});
      await new Promise((resolve) => {
        peer.once('connect', resolve);
        peer.once('close', resolve);
      });
      peer.resume();
      if (bytes.length > 0) peer.write(bytes);
    }
    return await work();
  } finally {
    for (const peer of peers) peer.destroy();
  }
}

/** A connection that is already there and a new one are served, within the time an API server waits. */
async function othersAreServed(bench: Bench): Promise<void> {
  for (const calls of [bench.calls, bench.connect()]) {
    const outcome = await bench.ping(calls);
    expectAnswer('another connection', outcome);
    if (outcome.durationMs > bench.budgetMs) {
      throw breach(`another connection waited ${Math.round(outcome.durationMs)} ms`);
    }
  }
}

export const connectionChecks: readonly Check[] = [
  {
    id: 'connections.authority',
    title: 'every :authority of kube-apiserver is served',
    rule: `${rules.client}: "localhost" with v2; grpc-go percent-encodes a path with v1`,
    advice: 'Do not look at :authority; on a unix socket it says nothing.',
    needs: 'any',
    run: async (bench) => {
      const forms = authorities(bench.netPath);
      for (const authority of forms) {
        expectAnswer(`:authority ${authority}`, await bench.ping(bench.connect(), { authority }));
      }
      return held(`${forms.length} forms`);
    },
  },
  {
    id: 'connections.many',
    title: `${connectionsAtOnce} connections are served at the same time`,
    rule: `${rules.client}: one connection for each API server and provider, and one more while a configuration is reloaded`,
    advice: 'Allow more connections; an API server keeps each for as long as it runs.',
    needs: 'any',
    run: async (bench) => {
      const connections = Array.from({ length: connectionsAtOnce }, () => bench.connect());
      // Each stays open while the others are asked, twice over.
      for (let round = 0; round < 2; round++) {
        const outcomes = await Promise.all(connections.map((calls) => bench.ping(calls)));
        for (const outcome of outcomes) expectAnswer('one of many connections', outcome);
      }
      return held();
    },
  },
  {
    id: 'connections.silent',
    title: 'peers that stay silent or stop half-way disturb nobody',
    rule: `${rules.client}: an API server that is stopped leaves its connection behind`,
    advice: 'Read from every connection by itself; close those that send nothing.',
    needs: 'any',
    run: async (bench) => {
      const openings = [
        Buffer.alloc(0),
        preface.subarray(0, 10),
        Buffer.concat([preface, emptySettings]),
        Buffer.concat([preface, emptySettings, halfHeaders]),
      ];
      const peers = Array.from({ length: idlePeers }, (_, i) => openings[i % openings.length] as Buffer);
      await withPeers(bench, peers, () => othersAreServed(bench));
      return held(`${idlePeers} such peers`);
    },
  },
  {
    id: 'connections.not-http2',
    title: 'bytes that are no HTTP/2 end their own connection only',
    rule: 'RFC 9113 §3.4',
    advice: 'Let the HTTP/2 library close the connection, and catch its errors.',
    needs: 'any',
    run: async (bench) => {
      const openings = [
        Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'),
        Buffer.alloc(4096, 0xff),
        Buffer.concat([preface, Buffer.alloc(64, 0xff)]),
        bench.random(512),
      ];
      await withPeers(bench, openings, () => othersAreServed(bench));
      return held();
    },
  },
  {
    id: 'deadlines.cancelled',
    title: 'callers that give up cost nothing, and the plugin goes on',
    rule: `${rules.grpc}: RST_STREAM with CANCEL`,
    advice: 'Stop working for a call that is cancelled, and hold no lock or place in a queue for it.',
    needs: 'any',
    run: async (bench) => {
      const [sealer] = bench.sealers;
      if (sealer === undefined) return { kind: 'not-judged', reason: 'nothing is served' };
      const plaintext = bench.random(32);
      const sealed = expectAnswer('Encrypt of 32 bytes', await sealer.encrypt(plaintext));
      const given = Array.from({ length: cancelledCalls }, async (_, i) => {
        const abort = new AbortController();
        const { signal } = abort;
        const call = i % 2 === 0 ? sealer.encrypt(plaintext, { signal }) : sealer.decrypt(sealed, { signal });
        setImmediate(() => {
          abort.abort();
        });
        await call;
      });
      await Promise.all(given);
      await worksAfterwards(bench, bench.calls);
      return held(`${cancelledCalls} calls`);
    },
  },
  {
    id: 'deadlines.short',
    title: 'a deadline that cannot be kept is answered, and the plugin goes on',
    rule: `${rules.grpc}: grpc-timeout`,
    advice: 'Answer DEADLINE_EXCEEDED or the result; never leave a stream open.',
    needs: 'any',
    run: async (bench) => {
      const [sealer] = bench.sealers;
      if (sealer === undefined) return { kind: 'not-judged', reason: 'nothing is served' };
      const late = await sealer.encrypt(bench.random(32), { announcedTimeoutMs: 1 });
      if (!late.ok && late.hung) throw breach(`Encrypt with a deadline of 1 ms got ${late.said}`);
      await worksAfterwards(bench, bench.calls);
      return held(late.ok ? 'answered in time' : late.said.slice(0, 60));
    },
  },
];

async function worksAfterwards(bench: Bench, calls: KmsCalls): Promise<void> {
  const [sealer] = bench.sealers;
  if (sealer === undefined) return;
  const plaintext = bench.random(32);
  const sealed = expectAnswer('the Encrypt after it', await calls[sealer.version].encrypt(plaintext));
  const opened = expectAnswer('the Decrypt after it', await calls[sealer.version].decrypt(sealed));
  if (!opened.equals(plaintext)) throw breach('the Decrypt after it opened something else');
}
