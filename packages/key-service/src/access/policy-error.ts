/** Thrown when a text is not a policy. The message is AWS's where AWS has one; it quotes element names, never values. */
export class PolicyError extends Error {
  override readonly name = 'PolicyError';
}

export const SYNTAX_ERROR = 'Syntax errors in policy.';
