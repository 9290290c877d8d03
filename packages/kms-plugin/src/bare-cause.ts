/**
 * What is kept of a stranger's error as the cause of ours: its name, code and place. Its message and fields may hold requests with
 * tokens and DEKs.
 */

/** @param source whose error it is, e.g. `the Key Vault client` */
export function bareCause(error: unknown, source: string): Error | undefined {
  if (!(error instanceof Error)) return undefined;
  const cause = new Error(`an error of ${source}`);
  cause.name = error.name;
  const frames = (error.stack ?? '').split('\n').filter((line) => /^ {4}at .*:\d+:\d+\)?$/.test(line));
  cause.stack = [`${cause.name}: ${cause.message}`, ...frames].join('\n');
  return 'code' in error && typeof error.code === 'string'
    ? Object.assign(cause, { code: error.code })
    : cause;
}
