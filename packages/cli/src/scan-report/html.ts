/** A scan as one page for an auditor: it loads nothing, runs nothing, and can be kept or printed. */
import type { ScanGroup } from '@waxseal/ops';
import { BarChart, PieChart } from 'echarts/charts';
import { GridComponent, LegendComponent, TitleComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import { printable, shortPrintable } from '../terminal-text.js';
import { dekSourceCount, formatBytes, isAlarming, type ScanReport } from './report.js';

const WIDTH = 960;
const PIE_HEIGHT = 300;
const BAR_HEIGHT = 26;
const BARS_MARGIN = 90;
/** More resources than can be read in one chart: the table has them all. */
const BARS_MAX = 40;

/** Red for what is not sealed; the others can be told apart without seeing red and green. */
const COLORS: Readonly<Record<ScanGroup['provider'], string>> = {
  identity: '#c0392b',
  unknown: '#7f1d1d',
  aescbc: '#d4a017',
  aesgcm: '#8e7cc3',
  secretbox: '#5dade2',
  'kms-v1': '#2e86c1',
  'kms-v2': '#1b4f72',
};
type Provider = keyof typeof COLORS;
const PROVIDERS = Object.keys(COLORS) as readonly Provider[];

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: ${WIDTH}px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; } td { overflow-wrap: anywhere; } td.key { font-family: monospace; }
tr.alarm td, .alarm { color: #c0392b; font-weight: 600; } dt { float: left; width: 9rem; color: #666; } dd { margin-left: 9rem; }
svg { max-width: 100%; height: auto; } @media print { body { margin: 0; } }`;

export function htmlReport(report: ScanReport): string {
  const { source, revision, total, bytes, plaintext, prefix, takenAtMs } = report;
  const sealed = total === 0 ? 'nothing is stored' : `${total - plaintext} of ${total} values are sealed`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>Encryption at rest: ${escapeHtml(sealed)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1${plaintext > 0 ? ' class="alarm"' : ''}>Encryption at rest: ${escapeHtml(sealed)}</h1>
<dl>
<dt>Scanned</dt><dd>${escapeHtml(source)}, keys under ${escapeHtml(prefix)}</dd>
<dt>Revision</dt><dd>${revision}</dd>
<dt>When</dt><dd>${new Date(takenAtMs).toISOString()}</dd>
<dt>Size</dt><dd>${formatBytes(bytes)}</dd>
</dl>
${policySection(report)}
<h2>By provider</h2>
${total === 0 ? '<p>Nothing.</p>' : pie(report)}
<h2>By resource</h2>
${total === 0 ? '<p>Nothing.</p>' : bars(report)}
<h2>Every group</h2>
${table(report)}
<p>Told without any key, from the form of the stored values. That a value can be decrypted is another question: waxseal verify answers it.</p>
</body>
</html>`;
}

function policySection({ violations, notStored = [] }: ScanReport): string {
  if (violations === undefined) return '';
  const absent =
    notStored.length === 0 ? '' : `\n<p>Nothing is stored of ${escapeHtml(notStored.join(', '))}.</p>`;
  if (violations.length === 0) return `<h2>Policy</h2>\n<p>Every rule is kept.</p>${absent}`;
  const items = violations.map(({ message }) => `<li class="alarm">${escapeHtml(message)}</li>`);
  return `<h2>Policy</h2>\n<ul>\n${items.join('\n')}\n</ul>${absent}`;
}

function pie({ groups }: ScanReport): string {
  const data = PROVIDERS.map((provider) => ({
    name: provider,
    value: countOf(groups, ({ provider: of }) => of === provider),
    itemStyle: { color: COLORS[provider] },
  })).filter(({ value }) => value > 0);
  return draw(PIE_HEIGHT, {
    series: [
      { type: 'pie', silent: true, radius: ['45%', '75%'], data, label: { formatter: '{b}: {c} ({d} %)' } },
    ],
  });
}

function bars({ groups }: ScanReport): string {
  const resources = [...new Set(groups.map(({ resource }) => resource))]
    .map((resource) => ({ resource, count: countOf(groups, (group) => group.resource === resource) }))
    .toSorted((a, b) => b.count - a.count)
    .slice(0, BARS_MAX)
    .map(({ resource }) => resource);
  const series = PROVIDERS.map((provider) => ({
    name: provider,
    type: 'bar',
    silent: true,
    stack: 'values',
    color: COLORS[provider],
    data: resources.map((resource) =>
      countOf(groups, (group) => group.resource === resource && group.provider === provider),
    ),
  })).filter(({ data }) => data.some((count) => count > 0));
  return draw(resources.length * BAR_HEIGHT + BARS_MARGIN, {
    legend: {},
    grid: { left: 16, right: 32, top: 40, bottom: 8 },
    xAxis: { type: 'value', minInterval: 1 },
    yAxis: { type: 'category', inverse: true, data: resources.map(labelOf) },
    series,
  });
}

/** A label that leaves room for its bar. */
const LABEL_MAX_CHARACTERS = 48;

function labelOf(resource: string): string {
  const text = shortPrintable(resource);
  return text.length <= LABEL_MAX_CHARACTERS ? text : `${text.slice(0, LABEL_MAX_CHARACTERS)}…`;
}

function draw(height: number, option: object): string {
  use([BarChart, PieChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height });
  try {
    chart.setOption({ animation: false, ...option });
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}

function table({ groups }: ScanReport): string {
  const rows = groups.map((group) => {
    const { resource, provider, key, count, bytes, oldestRevision, newestRevision } = group;
    const numbers = [dekSourceCount(group), count, formatBytes(bytes), oldestRevision, newestRevision];
    return `<tr${isAlarming(group) ? ' class="alarm"' : ''}><td>${escapeHtml(resource)}</td><td>${provider}</td><td class="key">${escapeHtml(key)}</td>${numbers.map((number) => `<td class="number">${number}</td>`).join('')}</tr>`;
  });
  const numbers = ['DEK sources', 'Count', 'Bytes', 'Oldest revision', 'Newest revision'];
  return `<table>
<thead><tr><th>Resource</th><th>Provider</th><th>Key</th>${numbers.map((name) => `<th class="number">${name}</th>`).join('')}</tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table>`;
}

function countOf(groups: readonly ScanGroup[], which: (group: ScanGroup) => boolean): number {
  return groups.filter(which).reduce((count, group) => count + group.count, 0);
}

function escapeHtml(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  };
  return printable(text).replaceAll(/[&<>"']/g, (character) => entities[character] ?? '');
}
