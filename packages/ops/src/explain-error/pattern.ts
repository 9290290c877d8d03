/** One message the encryption path of an API server can produce, and what it means. */
export interface ErrorPattern {
  /** Stable, for scripts. */
  readonly id: string;
  readonly pattern: RegExp;
  /** What happened: one sentence. */
  readonly cause: string;
  /** What to do. */
  readonly fix: string;
  /** Which commands look further; `KEY` and the like stand for what the reader fills in. */
  readonly commands: readonly string[];
}
