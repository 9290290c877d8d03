/**
 * JSON bodies: `JSON.parse`, with limits, positions and duplicate fields.
 *
 * Source of the rules: RFC 8259; duplicate fields are legal JSON, and a strict API server names them (k8s.io/apimachinery
 * `json` strict decoding).
 */
import type { JsonValue } from './object.js';
import { DecodeError } from './errors.js';
import { scanJson } from './json-scan.js';

/** Go's decoder stops at 10,000; V8 would first, and no API type nests so. */
const maxJsonDepth = 1000;

export interface ParsedBody {
  readonly value: JsonValue;
  /** Paths of fields given twice, e.g. `metadata.labels.app`; the last one counts. Empty unless asked for. */
  readonly duplicates: string[];
}

export interface ParseOptions {
  /** Costs a second pass over the bytes; for `fieldValidation=Strict` and `Warn`. */
  readonly findDuplicates?: boolean;
}

/**
 * @param bytes UTF-8, with or without a byte order mark
 * @throws DecodeError `malformed-json` with the position, or `too-deep`
 */
export function parseJson(bytes: Buffer, options: ParseOptions = {}): ParsedBody {
  checkDepth(bytes);
  let value: JsonValue;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    // The engine's message quotes the text, which may be a Secret: the scan says where without saying what.
    const fault = scanJson(bytes, false).fault ?? {
      offset: bytes.length,
      message: 'unexpected end of JSON input',
    };
    throw new DecodeError(
      'malformed-json',
      `invalid JSON at ${position(bytes, fault.offset)}: ${fault.message}`,
    );
  }
  return { value, duplicates: options.findDuplicates === true ? scanJson(bytes, true).duplicates : [] };
}

/** Counts brackets outside strings; an upper bound is enough, and small bodies cannot exceed it. */
function checkDepth(bytes: Buffer): void {
  if (bytes.length <= maxJsonDepth) return;
  let depth = 0;
  let inString = false;
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index];
    if (inString) {
      if (byte === 0x5c) index++;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) inString = true;
    else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > maxJsonDepth) {
        throw new DecodeError(
          'too-deep',
          `invalid JSON at ${position(bytes, index)}: more than ${maxJsonDepth} levels`,
        );
      }
    } else if (byte === 0x7d || byte === 0x5d) depth--;
  }
}

function position(bytes: Buffer, offset: number): string {
  const before = bytes.subarray(0, offset);
  const line = before.toString('latin1').split('\n').length;
  return `line ${line}, column ${offset - before.lastIndexOf(0x0a)} (byte ${offset})`;
}
