/** `waxseal explain-error`: what a message of an API server means, and what to do. */
import { type ErrorSubject, explainError, type ExplainedError } from '@waxseal/ops';
import { exitCodes, usageError } from '../errors.js';
import type { OutputFormat } from '../options.js';
import { printable, printableJson } from '../terminal-text.js';

/** Of a long input its beginning and its end are kept, so much of each: more than is looked at. */
const INPUT_HALF_BYTES = 1024 * 1024;

export async function explainErrorCommand(
  words: readonly string[],
  { output }: { readonly output: OutputFormat },
): Promise<void> {
  const text = words.length === 0 || words.join(' ') === '-' ? await readInput() : words.join(' ');
  if (text.trim() === '') {
    throw usageError(
      'there is no message to explain',
      'Give it as an argument, in quotes, or on standard input: kubectl get secrets 2>&1 | waxseal explain-error',
    );
  }
  const explained = explainError(text);
  if (explained.explanations.length === 0) process.exitCode = exitCodes.negative;
  console.log(output === 'json' ? printableJson(explained) : formatExplained(explained));
}

async function readInput(): Promise<string> {
  if (process.stdin.isTTY) process.stderr.write('Paste the message, then press Ctrl-D:\n');
  const head: Buffer[] = [];
  let headBytes = 0;
  let tail: Buffer[] = [];
  let tailBytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    if (headBytes < INPUT_HALF_BYTES) {
      head.push(chunk);
      headBytes += chunk.length;
      continue;
    }
    tail.push(chunk);
    tailBytes += chunk.length;
    if (tailBytes > 2 * INPUT_HALF_BYTES) {
      tail = [Buffer.concat(tail).subarray(-INPUT_HALF_BYTES)];
      tailBytes = INPUT_HALF_BYTES;
    }
  }
  return Buffer.concat([...head, ...tail]).toString('utf8');
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
    ([name, value]) => `${SUBJECT_NAMES[name as keyof ErrorSubject]}: ${printable(value)}`,
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
