/**
 * What goes wrong while bytes become an object, or an object bytes: one class, told apart by `problem`.
 *
 * It is the fault of the bytes, never of the caller's program: an API server answers 400, whoever reads stored bytes says which key is corrupt.
 */
export type DecodeProblem =
  'malformed-protobuf' | 'malformed-json' | 'malformed-yaml' | 'unknown-kind' | 'wrong-type' | 'too-deep';

/** Messages name positions, fields and types, never values: the bytes may be a Secret. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
  readonly problem: DecodeProblem;

  constructor(problem: DecodeProblem, message: string, options?: ErrorOptions) {
    super(message, options);
    this.problem = problem;
  }
}
