/** Finds the programs tests run: .tools/bin of the clone, or the folder WAXSEAL_TOOLS names. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const clonesTools = fileURLToPath(new URL('../../../../.tools/bin', import.meta.url));

/** @throws Error with the command that installs the program */
export function program(name: string): string {
  const path = join(process.env['WAXSEAL_TOOLS'] ?? clonesTools, name);
  if (!existsSync(path))
    throw new Error(`${path} does not exist. Install the tests' programs: npm run tools`);
  return path;
}
