/** The command line's errors: what went wrong, and what the user can do about it. */

/** Exit codes, documented in `waxseal --help`. */
export const exitCodes = {
  /** The command ran and its answer is no (a configuration is invalid, a check fails). */
  negative: 1,
  /** The command line itself is wrong. */
  usage: 2,
  /** Something the command needs is not there or does not work: a port, a file, a server. */
  environment: 3,
} as const;

export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: number;
  /** One sentence that says what to do. */
  readonly hint: string;

  constructor(
    message: string,
    hint: string,
    exitCode: number = exitCodes.environment,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.hint = hint;
    this.exitCode = exitCode;
  }
}

/** The command line is wrong: what about it, and how it is written. */
export function usageError(message: string, hint: string): CliError {
  return new CliError(message, hint, exitCodes.usage);
}

/** Narrows an unknown error to Node's system errors. */
function systemErrorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

const stackOf = (error: unknown): string =>
  (error instanceof Error ? (error.stack ?? '') : '').split('\n    ').slice(1).join('\n    ');

/** Turns what a part threw into something a user can act on. Unknown errors keep their message. */
export function toCliError(error: unknown): CliError {
  if (error instanceof CliError) return error;
  const message = error instanceof Error ? error.message : String(error);
  switch (systemErrorCode(error)) {
    case 'EADDRINUSE':
      return new CliError(
        message,
        'Another process listens there. Choose another port, or 0 for a free one.',
        undefined,
        {
          cause: error,
        },
      );
    case 'EACCES':
    case 'EPERM':
      return new CliError(message, 'Run as the user who owns the file, or choose another path.', undefined, {
        cause: error,
      });
    case 'EROFS':
      return new CliError(
        message,
        'The file system is read-only: mount it writable, or choose another --data-dir.',
        undefined,
        { cause: error },
      );
    case 'EEXIST':
    case 'ENOTDIR':
      return new CliError(message, 'Something else lies at that path: choose another one.', undefined, {
        cause: error,
      });
    case 'EISDIR':
      return new CliError(message, 'That is a folder; name a file.', undefined, { cause: error });
    case 'ENOENT':
      return new CliError(message, 'Check the path: the file or folder does not exist.', undefined, {
        cause: error,
      });
    case 'ENOSPC':
      return new CliError(
        message,
        'The disk is full: free some space and start again; nothing was lost.',
        undefined,
        {
          cause: error,
        },
      );
    case 'invalid-option':
      // By name: loading the package would slow every command down.
      return error instanceof Error && error.name === 'OpsError'
        ? new CliError(message, 'See --help.', exitCodes.usage, { cause: error })
        : new CliError(message, '', undefined, { cause: error });
    case 'interrupted':
      return new CliError(message, 'What was done stays done.', 130, { cause: error });
    case 'in-use':
      return new CliError(message, 'Stop the other process, or choose another --data-dir.', undefined, {
        cause: error,
      });
    case undefined:
      // Nobody foresaw it; where it happened is the best there is to say.
      return new CliError(
        message,
        `This is a fault in Waxseal: please report it with these lines.\n${stackOf(error)}`,
        undefined,
        { cause: error },
      );
    default:
      // The parts' own errors say in their message what to do.
      return new CliError(message, '', undefined, { cause: error });
  }
}
