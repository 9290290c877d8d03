/** Sizes of watch responses, and their division for clients that asked for fragments. */
import type { Event, KeyValue } from '../gen/etcd/kv.js';
import type { WatchResponse } from '../gen/etcd/rpc.js';

/** etcd's own: the largest request, so that no client meets a larger message than it may send itself. */
export const maxFragmentBytes = 1.5 * 1024 * 1024;

/** Tags, lengths and numbers of a message; more than they ever take. */
const overheadBytes = 64;

export function responseBytes(response: Pick<WatchResponse, 'events'>): number {
  return response.events.reduce((sum, event) => sum + eventBytes(event), overheadBytes);
}

/** Runs of events that each fit into one message, or are a single event. */
export function fragments(events: readonly Event[], maxBytes: number): Event[][] {
  const runs: Event[][] = [];
  let run: Event[] = [];
  let bytes = overheadBytes;
  for (const event of events) {
    const size = eventBytes(event);
    if (run.length > 0 && bytes + size > maxBytes) {
      runs.push(run);
      run = [];
      bytes = overheadBytes;
    }
    run.push(event);
    bytes += size;
  }
  runs.push(run);
  return runs;
}

function eventBytes(event: Event): number {
  return overheadBytes + keyValueBytes(event.kv) + keyValueBytes(event.prevKv);
}

function keyValueBytes(kv: KeyValue | undefined): number {
  return kv === undefined ? 0 : kv.key.length + kv.value.length + overheadBytes;
}
