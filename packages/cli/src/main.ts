/**
 * The `waxseal` process: runs the one command that is asked for, and turns every failure into a sentence and an exit code.
 */
import { CliError, exitCodes, toCliError } from './errors.js';
import { createProgram } from './program.js';
import { printableLines } from './terminal-text.js';

// Who reads the output has seen enough, as `| head` does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit();
  const full = new CliError(
    `standard output cannot be written: ${error.code === 'ENOSPC' ? 'no space is left' : error.message}`,
    'What was printed is not whole. Free some space, or write elsewhere, and start again.',
  );
  process.exit(report(full));
});

try {
  await createProgram().parseAsync();
} catch (error) {
  process.exitCode = report(error);
  // What still holds the loop open (a part that does not close) must not hold the process.
  setTimeout(() => process.exit(), 1_000).unref();
}

/** Prints what went wrong and returns the exit code. */
function report(error: unknown): number {
  if (error instanceof Error && 'code' in error && String(error.code).startsWith('commander.')) {
    const shown = 'exitCode' in error && error.exitCode === 0;
    return shown ? 0 : exitCodes.usage;
  }
  const { message, hint, exitCode } = toCliError(error);
  // Messages quote what storage, servers and plugins say.
  process.stderr.write(printableLines(`waxseal: ${message}\n${hint === '' ? '' : `  ${hint}\n`}`));
  return exitCode;
}
