/** The header etcd puts on every answer: who answers, and the store's revision. */
import type { ResponseHeader } from '../gen/etcd/rpc.js';

/** One server is the whole cluster, so member and cluster need no more than a fixed name. */
const clusterId = 0x77617873_65616c01n;
export const memberId = 0x77617873_65616c02n;
/** There is one term: no other member can ever lead. */
export const raftTerm = 1n;

export function header(revision: number): ResponseHeader {
  return { clusterId, memberId, revision: BigInt(revision), raftTerm };
}

/** Inside a transaction's answer etcd fills in the revision only. */
export function innerHeader(revision: number): ResponseHeader {
  return { clusterId: 0n, memberId: 0n, revision: BigInt(revision), raftTerm: 0n };
}
