/** `waxseal explain-error`: what a message of an API server means, and what to do. */
import { type ErrorSubject, explainError, type ExplainedError } from '@waxseal/ops';
import { CliError, exitCodes } from '../errors.js';
import type { OutputFormat } from '../options.js';

const INPUT_MAX_BYTES = 1024 * 1024;

export async function explainErrorCommand(
  words: readonly string[],
  { output }: { readonly output: OutputFormat },
): Promise<void> {
  const text = words.length === 0 || words.join(' ') === '-' ? await readInput() : words.join(' ');
  if (text.trim() === '') {
    throw new CliError(
      'there is no message to explain',
      'Give it as an argument, in quotes, or on standard input: kubectl get secrets 2>&1 | waxseal explain-error',
      exitCodes.usage,
    );
  }
  const explained = explainError(text);
  if (explained.explanations.length === 0) process.exitCode = exitCodes.negative;
  console.log(output === 'json' ? JSON.stringify(explained) : formatExplained(explained));
}

async function readInput(): Promise<string> {
  if (process.stdin.isTTY) process.stderr.write('Paste the message, then press Ctrl-D:\n');
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > INPUT_MAX_BYTES) {
      throw new CliError(
        `the input is longer than ${INPUT_MAX_BYTES} bytes`,
        'Give the lines with the error only.',
        exitCodes.usage,
      );
    }
  }
  return Buffer.concat(chunks).toString('utf8');
}

const SUBJECT_NAMES: Readonly<Record<keyof ErrorSubject, string>> = {
  key: 'object',
  provider: 'provider',
  keyId: 'key',
  socket: 'socket',
  grpcCode: 'gRPC code',
};

function formatExplained({ explanations, subject }: ExplainedError): string {
  const about = Object.entries(subject).map(
    ([name, value]) => `${SUBJECT_NAMES[name as keyof ErrorSubject]}: ${value}`,
  );
  if (explanations.length === 0) {
    return [
      'This message is not known: it may not be about encryption at rest.',
      ...about.map((line) => `  ${line}`),
      '  waxseal verify finds objects that cannot be read without any message.',
    ].join('\n');
  }
  return [
    ...explanations.flatMap(({ id, cause, fix, commands }) => [
      `${cause} [${id}]`,
      `  ${fix}`,
      ...commands.map((command) => `  $ ${command}`),
      '',
    ]),
    ...about,
  ]
    .join('\n')
    .trimEnd();
}
