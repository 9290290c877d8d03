/**
 * What etcd refuses before it looks at its state (etcdserver/api/v3rpc, `checkTxnRequest` and `checkIntervals`): empty
 * keys, contradictory flags, a key put twice, or put and deleted, in one transaction.
 */
import {
  MAX_REQUEST_BYTES,
  StoreError,
  type KeyRange,
  type Op,
  type PutOp,
  type TxnRequest,
} from '../store.js';
import { historyKeyBytes } from './history-key.js';
import { rangeContains } from './ranges.js';
import { keyText } from './state.js';
import { MAX_LMDB_KEY_BYTES } from './table.js';

/** A bound may be one byte longer than the longest key: it is then the place right behind that key. */
const SUCCESSOR_BYTES = 2;

export function checkTxn(request: TxnRequest): void {
  checkSize(request);
  checkShape(request);
  checkBranch(request.success);
  checkBranch(request.failure);
}

export function checkRange(range: KeyRange): void {
  checkKey(range.key, SUCCESSOR_BYTES);
  if (
    range.rangeEnd !== undefined &&
    historyKeyBytes(range.rangeEnd) > MAX_LMDB_KEY_BYTES + SUCCESSOR_BYTES
  ) {
    throw keyTooLarge(range.rangeEnd);
  }
}

function checkBranch(ops: readonly Op[]): void {
  // The usual branch, one plain operation, cannot contradict itself.
  if (ops.length > 1 || ops[0]?.kind === 'txn') checkClashes(ops);
}

function checkShape(request: TxnRequest): void {
  for (const compare of request.compare) checkRange(compare);
  for (const op of request.success) checkOp(op);
  for (const op of request.failure) checkOp(op);
}

function checkOp(op: Op): void {
  if (op.kind === 'txn') checkShape(op);
  else if (op.kind === 'put') checkPut(op);
  else checkRange(op);
}

function checkPut(op: PutOp): void {
  checkKey(op.key, 0);
  if (op.ignoreValue && op.value.length > 0) {
    throw new StoreError('invalid-argument', 'a put that ignores its value must come without one');
  }
  if (op.ignoreLease && op.lease) {
    throw new StoreError('invalid-argument', 'a put that ignores its lease must come without one');
  }
}

function checkKey(key: Buffer, moreBytes: number): void {
  if (key.length === 0) throw new StoreError('invalid-argument', 'a key must have at least one byte');
  if (historyKeyBytes(key) > MAX_LMDB_KEY_BYTES + moreBytes) throw keyTooLarge(key);
}

function keyTooLarge(key: Buffer): StoreError {
  const most = MAX_LMDB_KEY_BYTES - historyKeyBytes(Buffer.alloc(0));
  return new StoreError(
    'too-large',
    `a key of ${key.length} bytes is longer than the ${most} bytes the embedded store takes (zero bytes count twice)`,
  );
}

function checkSize(request: TxnRequest): void {
  const bytes = requestBytes(request);
  if (bytes > MAX_REQUEST_BYTES) {
    throw new StoreError(
      'too-large',
      `the request's keys and values are ${bytes} bytes, the limit is ${MAX_REQUEST_BYTES}`,
    );
  }
}

/** Keys and values of a request, both branches. */
export function requestBytes(request: TxnRequest): number {
  let bytes = 0;
  for (const compare of request.compare) {
    bytes += compare.key.length + (compare.rangeEnd?.length ?? 0);
    if (compare.target === 'value') bytes += compare.value.length;
  }
  for (const op of request.success) bytes += opBytes(op);
  for (const op of request.failure) bytes += opBytes(op);
  return bytes;
}

function opBytes(op: Op): number {
  if (op.kind === 'txn') return requestBytes(op);
  if (op.kind === 'put') return op.key.length + op.value.length;
  return op.key.length + (op.rangeEnd?.length ?? 0);
}

interface Touched {
  readonly puts: Map<string, Buffer>;
  readonly deletes: KeyRange[];
}

/** Deletes may overlap each other; a put may be made once, and not inside a delete. */
function checkClashes(ops: readonly Op[]): Touched {
  const deletes: KeyRange[] = ops.filter((op) => op.kind === 'delete');
  const puts = new Map<string, Buffer>();
  const add = (text: string, key: Buffer, allowed?: Map<string, Buffer>): void => {
    if ((puts.has(text) && !allowed?.has(text)) || deletes.some((range) => rangeContains(range, key))) {
      throw new StoreError('duplicate-key', 'a transaction changes the same key twice');
    }
    puts.set(text, key);
  };
  for (const op of ops) {
    if (op.kind !== 'txn') continue;
    const success = checkClashes(op.success);
    const failure = checkClashes(op.failure);
    for (const [text, key] of success.puts) add(text, key);
    // Only one of the branches runs, so a key in both is put once.
    for (const [text, key] of failure.puts) add(text, key, success.puts);
    deletes.push(...success.deletes, ...failure.deletes);
  }
  for (const op of ops) if (op.kind === 'put') add(keyText(op.key), op.key);
  return { puts, deletes };
}
