/** Which fields of a body its type does not have or cannot hold: what `fieldValidation` and decoding errors report. */
import type { JsonObject } from '../object.js';
import { decodeJsonObject, type InvalidField } from './json-decode.js';
import type { ObjectType } from './types.js';

export interface FieldCheck {
  /** Paths as kube-apiserver prints them after `unknown field`: `spec.foo`, `items[0].x`. */
  readonly unknown: string[];
  /** A body with one of these cannot be decoded at all. */
  readonly invalid: InvalidField[];
}

export function checkFields(type: ObjectType, object: JsonObject): FieldCheck {
  const { unknown, invalid } = decodeJsonObject(type, object);
  return { unknown, invalid };
}
