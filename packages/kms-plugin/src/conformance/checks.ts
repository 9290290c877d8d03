/** Every check of the conformance kit, in the order they are run: those that may end the plugin come after those that only ask. */
import type { Check } from './check.js';
import { connectionChecks } from './connection-checks.js';
import { limitChecks } from './limit-checks.js';
import { loadChecks } from './load-checks.js';
import { malformedChecks } from './malformed-checks.js';
import { outageChecks, restartChecks } from './operation-checks.js';
import { bindingChecks, sealingChecks } from './sealing-checks.js';
import { statusChecks, versionChecks } from './status-checks.js';

export const conformanceChecks: readonly Check[] = [
  ...statusChecks,
  ...versionChecks,
  ...limitChecks,
  ...sealingChecks('v2'),
  ...sealingChecks('v1'),
  ...bindingChecks,
  ...connectionChecks,
  ...loadChecks,
  ...malformedChecks('v2'),
  ...malformedChecks('v1'),
  ...restartChecks,
  ...outageChecks,
];
