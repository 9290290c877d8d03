/** Clients that create, update and delete Secrets through every server of a cluster, and know what must be there. */
import assert from 'node:assert/strict';
import { secret, type Api } from './api.js';

export interface LiveWriters {
  readonly counts: { created: number; updated: number; deleted: number };
  /** Writes until `stop`. */
  start(): void;
  stop(): Promise<void>;
  /** Each server answers exactly what was written: nothing lost, nothing that was deleted. @returns how many there are */
  check(): Promise<number>;
}

const PATH = '/api/v1/namespaces/default/secrets';
/** Each object costs every rewrap, scan and check that follows: enough is what a rotation meets some of at every step. */
const PAUSE_MS = 20;
/** So that there is always something to update and to delete. */
const FEW = 40;

export function createLiveWriters(apis: () => readonly Api[]): LiveWriters {
  /** Undefined: deleted. */
  const expected = new Map<string, string | undefined>();
  const counts = { created: 0, updated: 0, deleted: 0 };
  let atWork: readonly Promise<void>[] = [];
  let stopping = new AbortController();

  const must = async (
    server: number,
    method: string,
    path: string,
    status: number,
    body?: unknown,
  ): Promise<void> => {
    const answer = await (apis()[server] as Api).call(method, path, body);
    assert.equal(answer.status, status, `${method} ${path}: ${answer.text}`);
  };
  /** Each writer has names of its own, so that what is expected does not depend on who was first. */
  const write = async (server: number, turn: number): Promise<void> => {
    const mine = [...expected].filter(([name, v]) => v !== undefined && name.startsWith(`w${server}-`));
    const [name] = mine[(turn * 7) % Math.max(1, mine.length)] ?? [];
    if (name === undefined || mine.length < FEW || turn % 2 === 0) {
      const [fresh, value] = [`w${server}-${turn}`, `created-${turn}`];
      await must(server, 'POST', PATH, 201, secret(fresh, { value }));
      expected.set(fresh, value);
      counts.created++;
    } else if (turn % 4 === 1) {
      const value = `updated-${turn}`;
      // Through the other server: what one sealed the other opens.
      await must(1 - server, 'PUT', `${PATH}/${name}`, 200, secret(name, { value }));
      expected.set(name, value);
      counts.updated++;
    } else {
      await must(1 - server, 'DELETE', `${PATH}/${name}`, 200);
      expected.set(name, undefined);
      counts.deleted++;
    }
  };
  let turn = 0;
  const run = async (server: number, { signal }: AbortController): Promise<void> => {
    while (!signal.aborted) {
      await write(server, turn++);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  };
  return {
    counts,
    start() {
      stopping = new AbortController();
      atWork = [0, 1].map((server) => run(server, stopping));
      // Told by `stop`.
      for (const each of atWork) each.catch(() => undefined);
    },
    async stop() {
      stopping.abort();
      await Promise.all(atWork);
    },
    async check() {
      const wanted = [...expected].filter(([, value]) => value !== undefined);
      for (const api of apis()) {
        const answer = await api.call('GET', PATH);
        assert.equal(answer.status, 200, answer.text);
        const { items } = JSON.parse(answer.text) as {
          items: readonly { metadata: { name: string }; data: { value: string } }[];
        };
        const found = items
          .filter(({ metadata }) => metadata.name.startsWith('w'))
          .map(
            ({ metadata, data }) => [metadata.name, Buffer.from(data.value, 'base64').toString()] as const,
          );
        assert.equal(found.length, wanted.length);
        assert.deepEqual(Object.fromEntries(found), Object.fromEntries(wanted));
      }
      return wanted.length;
    },
  };
}
