/**
 * Goal: whatever the names of resources and keys are, every report is whole: a page that loads nothing, cells that no spreadsheet runs, metrics
 * that a parser takes, text that does nothing to a terminal. Method: a report with hostile names and random ones (seeded), each form
 * read back by its own rules.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ScanGroup } from '@waxseal/ops';
import * as fc from 'fast-check';
import { csvReport } from './csv.js';
import { htmlReport } from './html.js';
import { jsonReport } from './json.js';
import { openMetricsReport } from './open-metrics.js';
import type { ScanReport } from './report.js';
import { textReport } from './text.js';

const HOSTILE = [
  '<script>alert(1)</script>',
  '"><img src=https://example.com/x onerror=alert(1)>',
  "' onload='alert(1)",
  '</style></svg><script src=//example.com></script>',
  '&lt;b&gt;',
  '=1+1',
  '+cmd|calc',
  '-2+3',
  '@SUM(1,2)',
  '\t=1',
  '＝1',
  'a,"b"\r\n=2',
  '\u001b]0;title\u0007\u001b[2J\u009b31m',
  'a\u202egnp.exe',
  'tab\tnew\nline\\',
  '\ufffd\ufffd',
  '',
  'k'.repeat(65_536),
  '<'.repeat(65_536),
];

const groupOf = (resource: string, key: string): ScanGroup => ({
  resource,
  provider: 'kms-v2',
  key,
  kmsName: key,
  count: 2,
  bytes: 100,
  oldestRevision: 3,
  newestRevision: 5,
  dekSources: [],
  moreDekSources: 0,
  broken: 0,
});

const reportOf = (groups: readonly ScanGroup[], source = 'here'): ScanReport => ({
  source,
  revision: 7,
  groups,
  plaintext: 0,
  total: 2 * groups.length,
  bytes: 100 * groups.length,
  prefix: '/registry',
  takenAtMs: 1_700_000_000_000,
  violations: groups.map(({ resource, provider, key, count }) => ({
    resource,
    provider,
    key,
    count,
    message: `${resource} is under ${key}`,
  })),
});

const hostile = reportOf(
  HOSTILE.map((name) => groupOf(name, name)),
  HOSTILE[12],
);
const ACTS = /[^\P{Cc}\n]|\p{Bidi_Control}/u;

test('the page loads and runs nothing, and holds no tag but its own', () => {
  const page = htmlReport(hostile);
  const addresses = [...new Set(page.match(/\b[a-z]{2,8}:\/\/[^\s"'<&]+/g))].toSorted();
  assert.deepEqual(addresses, [
    // Names of XML, not addresses.
    'http://www.w3.org/1999/xlink',
    'http://www.w3.org/2000/svg',
    // In a hostile name: as text, in no attribute, see below.
    'https://example.com/x',
  ]);
  const tags = [...page.matchAll(/<\/?([a-zA-Z][\w:]*)([^<>]*)>/g)];
  const names = new Set(tags.map(([, name = '']) => name.toLowerCase()));
  const own =
    'html head meta title style body h1 h2 dl dt dd p ul li table thead tbody tr th td svg rect g path polyline text defs clippath';
  assert.deepEqual(
    [...names].filter((name) => !own.split(' ').includes(name)),
    [],
  );
  for (const [, name, attributes = ''] of tags) {
    assert.doesNotMatch(attributes, /\s(on\w+|src|href|action|xlink:href)\s*=/i, name);
  }
  assert.doesNotMatch(page, ACTS);
  assert.match(page, /^<!doctype html>\n<html lang="en">/);
  assert.match(page, /Content-Security-Policy" content="default-src 'none'/);
  for (const heading of ['Policy', 'By provider', 'By resource', 'Every group'])
    assert.ok(page.includes(`<h2>${heading}</h2>`));
  assert.equal(page.match(/<tr>/g)?.length, 1 + HOSTILE.length);
});

/** RFC 4180, strictly. */
function parseCsv(text: string): readonly (readonly string[])[] {
  return text.split('\r\n').map((line) => {
    const cells = [...`,${line}`.matchAll(/,(?:"((?:[^"]|"")*)"|([^",]*))(?=,|$)/g)];
    return cells.map(([, quoted, plain = '']) => quoted?.replaceAll('""', '"') ?? plain);
  });
}

test('no cell of the csv is a formula, and every row has its columns', () => {
  const rows = parseCsv(csvReport(hostile, false));
  assert.equal(rows.length, 1 + HOSTILE.length);
  for (const row of rows) {
    assert.equal(row.length, 8, row[0]?.slice(0, 50));
    for (const cell of row) assert.doesNotMatch(cell, /^[=+\-@\t\r＝＋－＠]/);
  }
  assert.equal(rows[1]?.[2], HOSTILE[0]);
  assert.doesNotMatch(csvReport(hostile, false).replaceAll('\r\n', ''), ACTS);
});

test('text and json do nothing to a terminal; the json is the same', () => {
  const text = textReport(hostile, false, false);
  assert.doesNotMatch(text, ACTS);
  const [head = '', ...lines] = text.split('\n').slice(0, 1 + HOSTILE.length);
  assert.ok([head, ...lines].every((line) => line.length < 400));
  assert.doesNotMatch(jsonReport(hostile), ACTS);
  const { groups } = JSON.parse(jsonReport(hostile)) as ScanReport;
  assert.deepEqual(groups, hostile.groups);
});

const SAMPLE = /^(\w+)(?:\{((?:\w+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/;

/** The OpenMetrics text format: families together, TYPE and HELP before samples, no series twice, `# EOF` at the end. */
function checkOpenMetrics(text: string): void {
  assert.ok(text.endsWith('\n# EOF\n'));
  const seen = new Set<string>();
  const families = new Set<string>();
  let family = '';
  for (const line of text.slice(0, -'# EOF\n'.length).split('\n').slice(0, -1)) {
    const [, meta, name = '', rest = ''] = /^# (HELP|TYPE) (\w+) (.*)$/.exec(line) ?? [];
    if (meta !== undefined && name !== family) {
      assert.ok(!families.has(name), `${name} is in two places`);
      families.add((family = name));
    }
    if (meta !== undefined) {
      assert.ok(meta === 'HELP' || rest === 'gauge', line);
      continue;
    }
    const [, sample, labels = ''] = SAMPLE.exec(line) ?? [];
    assert.equal(sample, family, line.slice(0, 200));
    assert.ok(!seen.has(`${sample}{${labels}}`), `${line.slice(0, 200)} is there twice`);
    seen.add(`${sample}{${labels}}`);
  }
}

test('the metrics are OpenMetrics, whatever the names', async () => {
  checkOpenMetrics(await openMetricsReport(hostile));
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.string({ unit: 'binary' }), fc.string()), { maxLength: 5 }),
      async (names) => {
        const report = reportOf(names.map(([resource, key]) => groupOf(resource, key)));
        checkOpenMetrics(await openMetricsReport(report));
        assert.deepEqual(
          JSON.parse(jsonReport(report)),
          JSON.parse(JSON.stringify({ ...report, prefix: undefined, takenAtMs: undefined })),
        );
        assert.ok(parseCsv(csvReport(report, false)).every((row) => row.length === 8));
        assert.doesNotMatch(textReport(report, false, false), ACTS);
      },
    ),
    { seed: 20_261_122, numRuns: 50 },
  );
});

test('two KMS names with one key are one series, with the older of their revisions', async () => {
  const groups = [
    { ...groupOf('secrets', 'a'), oldestRevision: 2, kmsName: 'one' },
    { ...groupOf('secrets', 'a'), oldestRevision: 4, kmsName: 'two' },
  ];
  const text = await openMetricsReport(reportOf(groups));
  checkOpenMetrics(text);
  assert.match(text, /^waxseal_scan_values\{resource="secrets",provider="kms-v2",key="a"\} 4$/m);
  assert.match(text, /^waxseal_scan_oldest_revision\{.*\} 2$/m);
});
