/** The three forms of a report: what they say of each outcome, and that nothing a plugin says breaks them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { conformanceJson, conformanceJunit, formatCheckResult, formatConformanceSummary } from './report.js';
import type { CheckResult, CheckStatus, ConformanceReport } from './run.js';

const result = (id: string, status: CheckStatus): CheckResult => ({
  check: { id, title: `title of ${id}`, rule: 'RFC <1>', advice: 'Mend it.' },
  status,
  durationMs: 12.4,
});

const report: ConformanceReport = {
  endpoint: 'unix:///run/kms.sock',
  seed: 'abc',
  served: ['v2'],
  conforms: false,
  durationMs: 1500,
  results: [
    result('status.version', { kind: 'passed', detail: 'v2' }),
    result('status.healthz', { kind: 'failed', problem: 'it says "<b>&\u0000\ud800"\n' }),
    result('restart.values', { kind: 'not-run', reason: 'give --restart-command to try it' }),
    result('v2.round-trip', { kind: 'not-judged', reason: 'the plugin is gone' }),
  ],
};

test('text: one aligned line for each check, and what to do under a breach', () => {
  const lines = report.results.map(formatCheckResult);
  const [ok, failed = '', left, unknown] = lines;
  assert.match(ok ?? '', /^ok {7}status\.version +12 ms {2}title of status\.version \(v2\)$/);
  assert.match(failed, /^FAILED {3}status\.healthz .*\n {9}Mend it\.\n {9}Rule: RFC <1>\.$/s);
  assert.match(left ?? '', /^not run {2}restart\.values +title .*\(give --restart-command to try it\)$/);
  assert.match(unknown ?? '', /^UNKNOWN {2}v2\.round-trip +12 ms/);
  const columns = lines.map((line) => line.indexOf('title of'));
  assert.equal(new Set(columns).size, 1);
  const summary = formatConformanceSummary(report);
  assert.match(summary, /1 passed, 1 failed, 1 could not be judged, 1 not run; seed abc\./);
  assert.match(summary, /does not keep the contract/);
});

test('JSON: one object with every check', () => {
  const json = JSON.parse(JSON.stringify(conformanceJson(report))) as {
    conforms: boolean;
    checks: { id: string; status: string; advice?: string }[];
  };
  assert.equal(json.conforms, false);
  assert.deepEqual(
    json.checks.map(({ id, status, advice }) => [id, status, advice]),
    [
      ['status.version', 'passed', undefined],
      ['status.healthz', 'failed', 'Mend it.'],
      ['restart.values', 'not-run', undefined],
      ['v2.round-trip', 'not-judged', undefined],
    ],
  );
});

test('JUnit: counts, failures, errors and skips, with everything escaped', () => {
  const xml = conformanceJunit(report);
  assert.match(
    xml,
    /<testsuite name="kms-plugin-conformance" tests="4" failures="1" errors="1" skipped="1" time="1\.500">/,
  );
  assert.ok(xml.includes('message="it says &quot;&lt;b&gt;&amp;\ufffd\ufffd&quot; "'), xml);
  assert.ok(xml.includes('Mend it.\nRule: RFC &lt;1&gt;.</failure>'), xml);
  assert.match(xml, /<skipped message="give --restart-command to try it"\/>/);
  assert.match(xml, /<error type="not_judged" message="the plugin is gone"\/>/);
  const opened = xml.match(/<(\w+)[^/>]*>/g)?.length;
  const closed = xml.match(/<\/\w+>/g)?.length;
  assert.equal(opened, closed);
});
