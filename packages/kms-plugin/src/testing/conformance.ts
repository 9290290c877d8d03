/** The conformance kit with less patience, and what tests ask of its report. */
import {
  runConformance,
  type CheckResult,
  type ConformanceOptions,
  type ConformanceReport,
} from '../conformance/run.js';

/** Short where the kit is patient. */
const quick = { seed: 'test', hangMs: 5000, budgetMs: 2500, loadMs: 60, waitMs: 1500 };

export const check = (
  endpoint: string,
  options: Partial<ConformanceOptions> = {},
): Promise<ConformanceReport> => runConformance({ endpoint, ...quick, ...options });

export const idsOf = (report: ConformanceReport, kind: CheckResult['status']['kind']): readonly string[] =>
  report.results.filter(({ status }) => status.kind === kind).map((result) => result.check.id);

export const trouble = (report: ConformanceReport): string =>
  report.results
    .filter(({ status }) => status.kind === 'failed' || status.kind === 'not-judged')
    .map((result) => `${result.check.id} ${JSON.stringify(result.status)}`)
    .join('\n');
