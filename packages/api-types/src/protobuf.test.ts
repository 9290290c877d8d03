/**
 * Goal: the codec agrees with the reference on every object, and no bytes break it.
 * Method: the reference vectors, decoded and encoded; every prefix and every flipped bit of the small ones, a sample
 * of the large ones.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { JsonObject, KubeObject } from './object.js';
import { DecodeError } from './errors.js';
import type { DecodeLoss } from './protobuf-decode.js';
import { decodeKubeProtobuf, encodeKubeProtobuf, encodeWatchFrame, isKubeProtobuf } from './protobuf.js';
import { WireWriter, wireStartGroup, wireEndGroup, wireVarint } from './wire.js';

interface Vector {
  readonly apiVersion: string;
  readonly kind: string;
  readonly protobufBase64: string;
  readonly json: KubeObject;
}

const vectorsFolder = new URL('../../../test/vectors/', import.meta.url);
const vectors: readonly Vector[] = JSON.parse(
  readFileSync(new URL('protobuf-objects.json', vectorsFolder), 'utf8'),
);

function bytesOf(vector: Vector): Buffer {
  return Buffer.from(vector.protobufBase64, 'base64');
}

/** Wraps a message body as the named kind. */
function wrapped(apiVersion: string, kind: string, raw: Buffer): Buffer {
  const writer = new WireWriter();
  writer.raw(raw);
  writer.close(2, 0);
  const mark = writer.mark;
  writer.string(kind);
  writer.close(2, mark);
  const versionMark = writer.mark;
  writer.string(apiVersion);
  writer.close(1, versionMark);
  writer.close(1, mark);
  return Buffer.concat([Buffer.from('k8s\0'), writer.finish()]);
}

/** Whatever the bytes are: an object, or a DecodeError that is safe to show. */
function decodesOrRefuses(bytes: Buffer): void {
  try {
    encodeKubeProtobuf(decodeKubeProtobuf(bytes));
  } catch (error) {
    assert.ok(error instanceof DecodeError, `${bytes.toString('base64')} threw ${String(error)}`);
  }
}

describe('Kubernetes protobuf', () => {
  it('has eighty vectors of twenty kinds', () => {
    assert.equal(vectors.length, 80);
    assert.equal(new Set(vectors.map(({ kind }) => kind)).size, 20);
  });

  for (const [index, vector] of vectors.entries()) {
    it(`decodes vector ${index}, a ${vector.kind}, to its JSON and encodes it to its bytes`, () => {
      const bytes = bytesOf(vector);
      assert.ok(isKubeProtobuf(bytes));
      assert.deepEqual(decodeKubeProtobuf(bytes), vector.json);
      assert.equal(encodeKubeProtobuf(vector.json).toString('base64'), vector.protobufBase64);
    });
  }

  it('decodes the objects kube-apiserver stored to their JSON and encodes them to their bytes', () => {
    const stored: { storedProtobufBase64: string; json: KubeObject }[] = JSON.parse(
      readFileSync(new URL('stored-protobuf.json', vectorsFolder), 'utf8'),
    );
    assert.ok(stored.length > 0);
    for (const { storedProtobufBase64, json } of stored) {
      assert.deepEqual(decodeKubeProtobuf(Buffer.from(storedProtobufBase64, 'base64')), json);
      assert.equal(encodeKubeProtobuf(json).toString('base64'), storedProtobufBase64);
    }
  });

  it('carries numbers of 64 bits, up to what a double holds, and refuses more', () => {
    const options = (seconds: number): KubeObject => ({
      kind: 'DeleteOptions',
      apiVersion: 'v1',
      metadata: {},
      gracePeriodSeconds: seconds,
    });
    for (const seconds of [0, 1, -1, 2 ** 31, 2 ** 32, -(2 ** 33), Number.MAX_SAFE_INTEGER, -(2 ** 63)]) {
      assert.equal(decodeKubeProtobuf(encodeKubeProtobuf(options(seconds)))['gracePeriodSeconds'], seconds);
    }
    for (const seconds of [2 ** 63, 0.5, Infinity]) {
      assert.throws(() => encodeKubeProtobuf(options(seconds)), { problem: 'wrong-type' });
    }
  });

  it('prints fields in the order Go does', () => {
    const secret = vectors.find(({ kind, json }) => kind === 'Secret' && 'data' in json);
    assert.ok(secret);
    const decoded = decodeKubeProtobuf(bytesOf(secret));
    assert.deepEqual(Object.keys(decoded), Object.keys(secret.json));
    assert.deepEqual(Object.keys(decoded.metadata), Object.keys(secret.json.metadata));
  });

  it('answers every prefix of every vector up to 4 KiB with an object or an error', () => {
    for (const vector of vectors.filter((v) => v.protobufBase64.length < 5400)) {
      const bytes = bytesOf(vector);
      for (let length = 0; length < bytes.length; length++) decodesOrRefuses(bytes.subarray(0, length));
    }
  });

  it('answers every flipped bit of small vectors, and a sample of the others', () => {
    for (const vector of vectors) {
      const bytes = bytesOf(vector);
      const stride = bytes.length <= 400 ? 1 : Math.ceil((bytes.length * bytes.length) / 40_000);
      for (let bit = 0; bit < bytes.length * 8; bit += stride) {
        const flipped = Buffer.from(bytes);
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        decodesOrRefuses(flipped);
      }
    }
  });

  it('skips fields it does not know, groups included', () => {
    const writer = new WireWriter();
    writer.tag(99, wireEndGroup);
    writer.uint32(7);
    writer.tag(1, wireVarint);
    writer.tag(99, wireStartGroup);
    writer.string('x');
    writer.close(98, writer.mark - 1);
    const type = writer.mark;
    writer.string('Opaque');
    writer.close(3, type);
    const secret = decodeKubeProtobuf(wrapped('v1', 'Secret', writer.finish()));
    assert.deepEqual(secret, { kind: 'Secret', apiVersion: 'v1', metadata: {}, type: 'Opaque' });
  });

  it('merges a message that occurs twice, and takes the last of a scalar', () => {
    // ConfigMap {1 metadata {…}} twice: {1 name, 3 namespace}, then {1 name}.
    const body = Buffer.from('\x0a\x06\x0a\x01a\x1a\x01n\x0a\x03\x0a\x01b', 'latin1');
    const merged = decodeKubeProtobuf(wrapped('v1', 'ConfigMap', body));
    assert.deepEqual(merged.metadata, { name: 'b', namespace: 'n' });
  });

  it('keeps a key named __proto__ a key', () => {
    const labels: JsonObject = JSON.parse('{"__proto__":"x","constructor":"y"}');
    const object = { kind: 'ConfigMap', apiVersion: 'v1', metadata: {}, data: labels };
    const decoded = decodeKubeProtobuf(encodeKubeProtobuf(object));
    assert.deepEqual(Object.entries(decoded['data'] ?? {}), [
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
  });

  it('reads a List of protobuf and JSON objects', () => {
    const items = [{ kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'a' } }];
    const list = { kind: 'List', apiVersion: 'v1', metadata: {}, items };
    assert.deepEqual(decodeKubeProtobuf(encodeKubeProtobuf(list)), list);
    const inner = encodeKubeProtobuf({ kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'a' } });
    const writer = new WireWriter();
    writer.raw(inner);
    writer.close(1, 0);
    writer.close(2, 0);
    assert.deepEqual(decodeKubeProtobuf(wrapped('v1', 'List', writer.finish())), list);
  });

  it('refuses lists nested in lists without end', () => {
    let bytes = encodeKubeProtobuf({ kind: 'ConfigMap', apiVersion: 'v1', metadata: {} });
    for (let depth = 0; depth < 120; depth++) {
      const writer = new WireWriter();
      writer.raw(bytes);
      writer.close(1, 0);
      writer.close(2, 0);
      bytes = wrapped('v1', 'List', writer.finish());
    }
    assert.throws(() => decodeKubeProtobuf(bytes), { problem: 'too-deep' });
  });

  it('names the kind it does not know', () => {
    const bytes = wrapped('example.com/v1', 'Widget', Buffer.alloc(0));
    assert.throws(() => decodeKubeProtobuf(bytes), {
      problem: 'unknown-kind',
      message: /"Widget".*"example.com\/v1"/,
    });
    assert.throws(() => decodeKubeProtobuf(Buffer.from('{}')), { problem: 'malformed-protobuf' });
    assert.throws(() => decodeKubeProtobuf(Buffer.from('k8s\0')), { problem: 'unknown-kind' });
  });

  it('tells which fields it leaves out, but for what old releases wrote empty into every object', () => {
    const unknown: string[] = [];
    const note = (loss: DecodeLoss): void =>
      void unknown.push(loss.kind === 'unknown-field' ? `${loss.type} ${loss.number}` : loss.kind);
    // Name `a`, and clusterName, which is gone.
    const metadata = Buffer.from([0x0a, 0x01, 0x61, 0x7a, 0x00]);
    const withFields = (fields: Buffer): Buffer => {
      const raw = Buffer.concat([Buffer.from([0x0a, metadata.length]), metadata, fields]);
      const head = Buffer.from('k8s\0\x0a\x0c\x0a\x02v1\x12\x06Secret\x12', 'latin1');
      return Buffer.concat([head, Buffer.from([raw.length]), raw]);
    };
    assert.equal(decodeKubeProtobuf(withFields(Buffer.alloc(0)), note).metadata?.name, 'a');
    assert.deepEqual(unknown, []);
    // Field 99, a varint.
    decodeKubeProtobuf(withFields(Buffer.from([0x98, 0x06, 0x01])), note);
    assert.deepEqual(unknown, ['Secret 99']);
    // metadata.generation, 2^53 - 1 and 2^53.
    for (const [generation, last] of [
      [2 ** 53 - 1, 'Secret 99'],
      [2 ** 53, 'rounded-integer'],
    ] as const) {
      const object = { kind: 'Secret', apiVersion: 'v1', metadata: { name: 'a', generation } };
      decodeKubeProtobuf(encodeKubeProtobuf(object), note);
      assert.equal(unknown.at(-1), last);
    }
  });

  it('refuses lengths beyond the body without reserving memory', () => {
    const bytes = Buffer.concat([Buffer.from('k8s\0'), Buffer.from([0x12, 0xff, 0xff, 0xff, 0xff, 0x07])]);
    assert.throws(() => decodeKubeProtobuf(bytes), { problem: 'malformed-protobuf' });
  });

  it('says which field to encode has the wrong type, not what it holds', () => {
    const object = { kind: 'Secret', apiVersion: 'v1', metadata: {}, type: 5, data: { a: 'czNjcjN0' } };
    assert.throws(
      () => encodeKubeProtobuf(object),
      (error: unknown) =>
        error instanceof DecodeError &&
        error.problem === 'wrong-type' &&
        /type/.test(error.message) &&
        !/5/.test(error.message),
    );
  });

  it('frames a watch event: length, then the event around the whole object', () => {
    const object = encodeKubeProtobuf({ kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'a' } });
    const frame = encodeWatchFrame('ADDED', object);
    assert.equal(frame.readUInt32BE(0), frame.length - 4);
    assert.equal(frame.subarray(4, 11).toString('latin1'), '\x0a\x05ADDED');
    assert.ok(frame.includes(object));
  });
});
