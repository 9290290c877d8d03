/**
 * What goes wrong while bytes become an object: one class, told apart by `problem`.
 *
 * It is an ApiError (400 BadRequest), so a bad request body answers itself; whoever reads stored bytes catches it and
 * says which key is corrupt.
 */
import { ApiError } from '../errors.js';

export type DecodeProblem =
  'malformed-protobuf' | 'malformed-json' | 'malformed-yaml' | 'unknown-kind' | 'wrong-type' | 'too-deep';

/** Messages name positions, fields and types, never values: the bytes may be a Secret. */
export class DecodeError extends ApiError {
  readonly problem: DecodeProblem;

  constructor(problem: DecodeProblem, message: string, options?: ErrorOptions) {
    super(400, 'BadRequest', message, undefined, options);
    this.problem = problem;
  }
}
