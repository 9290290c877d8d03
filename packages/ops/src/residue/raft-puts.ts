/**
 * What an entry of etcd's log writes. raftpb.Entry {1 type, 4 data}; its data is an etcdserverpb.InternalRaftRequest {4 put, 6 txn};
 * PutRequest {1 key, 2 value}; TxnRequest {2 success, 3 failure} of RequestOp {2 put, 4 txn}. A branch that was not taken was written
 * to the log all the same.
 */
import { messageFields } from './message-fields.js';

export interface LoggedPut {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Transactions may hold transactions; etcd allows few. */
const DEPTH_MAX = 16;

/** Undefined: the entry is not one. Entries of membership and of etcd's old API hold no puts. */
export function loggedPuts(entry: Buffer): readonly LoggedPut[] | undefined {
  const fields = messageFields(entry);
  if (fields === undefined) return undefined;
  const puts: LoggedPut[] = [];
  const isNormal = !fields.some(
    ({ number, ...field }) => number === 1 && field.kind === 'varint' && field.value !== 0n,
  );
  for (const field of fields) {
    if (isNormal && field.number === 4 && field.kind === 'bytes') {
      addOperations(field.bytes, { put: 4, txn: [6] }, puts, 0);
    }
  }
  return puts;
}

/** Which fields of a message are a put and transactions. */
interface Shape {
  readonly put: number;
  readonly txn: readonly number[];
}

function addOperations(bytes: Buffer, shape: Shape, puts: LoggedPut[], depth: number): void {
  if (depth > DEPTH_MAX) return;
  for (const field of messageFields(bytes) ?? []) {
    if (field.kind !== 'bytes') continue;
    if (field.number === shape.put) addPut(field.bytes, puts);
    if (shape.txn.includes(field.number)) addTransaction(field.bytes, puts, depth + 1);
  }
}

function addTransaction(bytes: Buffer, puts: LoggedPut[], depth: number): void {
  for (const field of messageFields(bytes) ?? []) {
    if (field.kind === 'bytes' && (field.number === 2 || field.number === 3)) {
      addOperations(field.bytes, { put: 2, txn: [4] }, puts, depth);
    }
  }
}

function addPut(bytes: Buffer, puts: LoggedPut[]): void {
  let key: Buffer | undefined;
  let value: Buffer | undefined;
  for (const field of messageFields(bytes) ?? []) {
    if (field.kind !== 'bytes') continue;
    if (field.number === 1) key = field.bytes;
    if (field.number === 2) value = field.bytes;
  }
  if (key !== undefined && value !== undefined) puts.push({ key, value });
}
