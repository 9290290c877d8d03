/** `/version`: which Kubernetes API this is, and which server. */
import type { PathEndpoint } from '../http/path-endpoint.js';
import { jsonAnswer } from '../http/path-endpoint.js';

/** The Kubernetes release whose API is served; clients compare it with their own. */
const KUBERNETES_MAJOR = 1;
const KUBERNETES_MINOR = 36;

/** @param serverVersion of Waxseal, e.g. `0.1.0`; appears as semver build metadata */
export function createVersionEndpoint(serverVersion: string): PathEndpoint {
  const document = {
    major: String(KUBERNETES_MAJOR),
    minor: String(KUBERNETES_MINOR),
    gitVersion: `v${KUBERNETES_MAJOR}.${KUBERNETES_MINOR}.0+waxseal.${serverVersion}`,
    gitCommit: '',
    gitTreeState: '',
    buildDate: '',
    goVersion: '',
    compiler: `node ${process.version}`,
    platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
  };
  return ({ path }) => (path === '/version' || path === '/version/' ? jsonAnswer(document) : undefined);
}
