/**
 * ARNs with wildcards. Each of the six parts of an ARN is matched by itself, so that a `*` never reaches over a colon,
 * except in the last part, which is the rest.
 *
 * Source of the rule: IAM User Guide, "Amazon Resource Name (ARN) condition operators".
 */
import { compilePattern, type Glob } from './glob.js';

const ARN_PARTS = 6;

/** @param pattern as toPattern makes it; one that is not in six parts is matched as a whole */
export function compileArnPattern(pattern: string): Glob {
  const parts = splitArn(pattern);
  if (parts === undefined) return compilePattern(pattern);
  const globs = parts.map(compilePattern);
  return (text) => {
    const subject = splitArn(text);
    return subject !== undefined && globs.every((glob, index) => glob(subject[index] as string));
  };
}

function splitArn(text: string): readonly string[] | undefined {
  const parts: string[] = [];
  let at = 0;
  while (parts.length < ARN_PARTS - 1) {
    const colon = text.indexOf(':', at);
    if (colon < 0) return undefined;
    parts.push(text.slice(at, colon));
    at = colon + 1;
  }
  parts.push(text.slice(at));
  return parts;
}
