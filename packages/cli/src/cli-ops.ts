/** The commands that say what is sealed with which key, and change it: one function for each. */
import type { Command } from 'commander';
import { addGenerate } from './cli-ops-generate.js';
import { addLint } from './cli-ops-lint.js';
import { addRecover } from './cli-ops-recover.js';
import { addRetire, addRotate } from './cli-ops-rotate.js';
import { addResidue } from './cli-ops-residue.js';
import { addRewrap } from './cli-ops-rewrap.js';
import { addExplainError, addVerify } from './cli-ops-verify.js';
import { addScan } from './cli-ops-scan.js';

export function addOperations(program: Command): void {
  addScan(program);
  addVerify(program);
  addLint(program);
  addGenerate(program);
  addRotate(program);
  addRetire(program);
  addResidue(program);
  addRewrap(program);
  addRecover(program);
  addExplainError(program);
}
