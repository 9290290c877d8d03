/** What goes wrong while a patch is applied; answers itself as the API server does. */
import { ApiError } from '../errors.js';

export type PatchProblem =
  /** The patch is no patch of its format: 400. */
  | 'malformed'
  /** The patch does not fit the object: 422. */
  | 'not-applicable'
  /** A `test` operation found another value: 422. */
  | 'test-failed'
  /** More operations or copied bytes than allowed: 413. */
  | 'too-large';

const answers = {
  malformed: [400, 'BadRequest'],
  'not-applicable': [422, 'Invalid'],
  'test-failed': [422, 'Invalid'],
  'too-large': [413, 'RequestEntityTooLarge'],
} as const;

/** Messages name paths, never values. */
export class PatchError extends ApiError {
  readonly problem: PatchProblem;

  constructor(problem: PatchProblem, message: string) {
    const [code, reason] = answers[problem];
    super(code, reason, message);
    this.problem = problem;
  }
}
