/** An explanation as text for people. */
import type { Explanation, Finding } from './explain.js';

const words: Readonly<Record<Finding['result'], string>> = {
  works: 'ok',
  warns: 'WARNING',
  fails: 'FAILED',
  'not-tried': '-',
};

export function formatExplanation(explanation: Explanation): string {
  const blocks = explanation.keySets.flatMap(({ name, keys }) =>
    keys.map((key) => {
      const parts = [name, key.name, key.provider, key.keyId];
      // A key set that is named as its provider, a key that is the only one, and a key that is not known yet say nothing.
      const told = parts.filter(
        (part, at) => part !== '' && part !== 'primary' && parts.indexOf(part) === at,
      );
      const title = told.join(' ');
      return [title, ...key.findings.flatMap(formatFinding)].join('\n');
    }),
  );
  const verdict = explanation.works
    ? 'Everything that was tried works.'
    : 'Something does not work: do what FAILED says, and try again.';
  return `${blocks.join('\n\n')}\n\n${verdict}`;
}

function formatFinding({ step, result, sentences, durationMs }: Finding): readonly string[] {
  const took = result === 'not-tried' ? '' : `${Math.round(durationMs)} ms`;
  const head = `  ${words[result].padEnd(7)}  ${step.padEnd(8)}  ${took.padStart(7)}`;
  const [first = '', ...more] = sentences;
  const indent = ' '.repeat(head.length + 2);
  return [`${head}  ${first}`.trimEnd(), ...more.map((sentence) => `${indent}${sentence}`)];
}
