/** The report of a conformance run: aligned text for people, one JSON object, JUnit XML for continuous integration. */
import { conformanceChecks } from './checks.js';
import type { CheckResult, ConformanceReport } from './run.js';

const words = { passed: 'ok', failed: 'FAILED', 'not-run': 'not run', 'not-judged': 'UNKNOWN' } as const;
const wordWidth = Math.max(...Object.values(words).map((word) => word.length));
const idWidth = Math.max(...conformanceChecks.map(({ id }) => id.length));
const indent = ' '.repeat(wordWidth + 2);

const duration = (ms: number): string =>
  (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`).padStart(7);

function said({ status }: CheckResult): string {
  switch (status.kind) {
    case 'passed':
      return status.detail;
    case 'failed':
      return status.problem;
    default:
      return status.reason;
  }
}

/** One line of a check; with a breach, what to do about it and where the rule is written. */
export function formatCheckResult(result: CheckResult): string {
  const { check, status, durationMs } = result;
  const took = status.kind === 'not-run' ? ' '.repeat(7) : duration(durationMs);
  const note = said(result);
  const line =
    `${words[status.kind].padEnd(wordWidth)}  ${check.id.padEnd(idWidth)}  ${took}  ${check.title}${note === '' ? '' : ` (${note})`}`.trimEnd();
  return status.kind === 'failed' ? `${line}\n${indent}${check.advice}\n${indent}Rule: ${check.rule}.` : line;
}

/** The last lines: how many of each, and what that means. */
export function formatConformanceSummary(report: ConformanceReport): string {
  const count = (kind: CheckResult['status']['kind']): number =>
    report.results.filter(({ status }) => status.kind === kind).length;
  const parts = [
    `${count('passed')} passed`,
    `${count('failed')} failed`,
    ...(count('not-judged') > 0 ? [`${count('not-judged')} could not be judged`] : []),
    `${count('not-run')} not run`,
  ];
  const verdict = report.conforms
    ? 'The plugin keeps the contract as far as it was checked.'
    : count('failed') > 0
      ? 'The plugin does not keep the contract: mend what FAILED says.'
      : 'Nothing was proven: run checks that can be judged.';
  return `\n${report.endpoint} (${report.served.join(', ')}): ${parts.join(', ')}; seed ${report.seed}.\n${verdict}`;
}

/** For `--output json`: one object. */
export function conformanceJson(report: ConformanceReport): object {
  return {
    endpoint: report.endpoint,
    served: report.served,
    seed: report.seed,
    conforms: report.conforms,
    durationMs: Math.round(report.durationMs),
    checks: report.results.map((result) => ({
      id: result.check.id,
      title: result.check.title,
      rule: result.check.rule,
      status: result.status.kind,
      durationMs: Math.round(result.durationMs),
      message: said(result),
      ...(result.status.kind === 'failed' ? { advice: result.check.advice } : {}),
    })),
  };
}

/**
 * JUnit XML as the Ant task writes it and continuous integration reads it (schema: jenkins-junit.xsd): breaches are failures, what could not be
 * judged an error, what was not run skipped.
 */
export function conformanceJunit(report: ConformanceReport): string {
  const count = (kind: CheckResult['status']['kind']): number =>
    report.results.filter(({ status }) => status.kind === kind).length;
  const seconds = (ms: number): string => (ms / 1000).toFixed(3);
  const totals = `tests="${report.results.length}" failures="${count('failed')}" errors="${count('not-judged')}"`;
  const cases = report.results.map((result) => {
    const { check, status, durationMs } = result;
    const open = `    <testcase classname="kms-plugin.${attribute(check.id)}" name="${attribute(check.title)}" time="${seconds(durationMs)}"`;
    switch (status.kind) {
      case 'passed':
        return `${open}/>`;
      case 'failed':
        return `${open}>\n      <failure type="contract_broken" message="${attribute(status.problem)}">${text(`${check.advice}\nRule: ${check.rule}.`)}</failure>\n    </testcase>`;
      case 'not-judged':
        return `${open}>\n      <error type="not_judged" message="${attribute(status.reason)}"/>\n    </testcase>`;
      default:
        return `${open}>\n      <skipped message="${attribute(status.reason)}"/>\n    </testcase>`;
    }
  });
  return `<?xml version="1.0" encoding="UTF-8"?>
<testsuites ${totals} time="${seconds(report.durationMs)}">
  <testsuite name="kms-plugin-conformance" ${totals} skipped="${count('not-run')}" time="${seconds(report.durationMs)}">
    <properties>
      <property name="endpoint" value="${attribute(report.endpoint)}"/>
      <property name="served" value="${attribute(report.served.join(','))}"/>
      <property name="seed" value="${attribute(report.seed)}"/>
    </properties>
${cases.join('\n')}
  </testsuite>
</testsuites>`;
}

/** XML 1.0 §2.2 has no place for most control characters and for lone surrogates, not even escaped. */
const text = (value: string): string =>
  value
    // oxlint-disable-next-line no-control-regex
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Surrogate}/gu, '\ufffd')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;');

const attribute = (value: string): string =>
  text(value)
    .replaceAll('"', '&quot;')
    .replace(/[\t\n\r]/g, ' ');
