/**
 * The dashboard, the alert rules and the list of metrics in docs/operating name only what a running plugin has, and every
 * expression is PromQL by the grammar of the Prometheus project.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parser } from '@prometheus-io/lezer-promql';
import { Registry } from 'prom-client';
import { parse } from 'yaml';
import { startPlugin } from './plugin.js';
import { createFakeProvider } from './testing/fake-provider.js';
import { tempFolder } from './testing/temp-folder.js';

const docs = new URL('../../../docs/operating/', import.meta.url);
const read = (name: string): Promise<string> => readFile(new URL(name, docs), 'utf8');

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity?: string };
  readonly annotations: Readonly<Record<string, string>>;
}

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

async function rules(): Promise<readonly Rule[]> {
  const file = parse(await read('kms-plugin-alerts.yaml')) as {
    readonly groups: readonly { readonly rules: readonly Rule[] }[];
  };
  return file.groups.flatMap((group) => group.rules);
}

async function panels(): Promise<readonly Panel[]> {
  return (JSON.parse(await read('kms-plugin-dashboard.json')) as { readonly panels: readonly Panel[] })
    .panels;
}

interface Names {
  readonly metrics: ReadonlySet<string>;
  readonly labels: ReadonlySet<string>;
  readonly errors: number;
}

/** What an expression names. Grafana's variables stand for durations and label values. */
function namesIn(expression: string): Names {
  const text = expression.replaceAll('$__rate_interval', '5m');
  const metrics = new Set<string>();
  const labels = new Set<string>();
  let errors = 0;
  parser.parse(text).iterate({
    enter: ({ type, from, to, node }) => {
      const word = text.slice(from, to);
      if (type.isError) errors += 1;
      if (type.name === 'Identifier' && node.parent?.name === 'VectorSelector') metrics.add(word);
      if (type.name === 'LabelName') labels.add(word);
    },
  });
  return { metrics, labels, errors };
}

/** Every metric of a running plugin, with the suffixes of histograms, and its labels. */
async function existing(
  t: Parameters<typeof tempFolder>[0],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const registry = new Registry();
  const plugin = await startPlugin({
    listen: join(await tempFolder(t), 'kms.sock'),
    provider: createFakeProvider(),
    registry,
  });
  t.after(() => plugin.close());
  const found = new Map<string, readonly string[]>();
  for (const metric of registry.getMetricsAsArray()) {
    const labels = 'labelNames' in metric ? (metric.labelNames as readonly string[]) : [];
    found.set(metric.name, labels);
    for (const suffix of ['_bucket', '_sum', '_count'])
      found.set(`${metric.name}${suffix}`, [...labels, 'le']);
  }
  // What Prometheus itself adds.
  return found.set('up', []);
}

const addedByPrometheus = ['job', 'instance'];

test('every expression of the alerts and the dashboard parses and names metrics and labels that exist', async (t) => {
  const known = await existing(t);
  const expressions = [
    ...(await rules()).map(({ alert, expr }) => [alert, expr] as const),
    ...(await panels()).flatMap(({ title, targets = [] }) =>
      targets.map(({ expr }) => [title, expr] as const),
    ),
  ];
  assert.ok(expressions.length > 30);
  for (const [where, expression] of expressions) {
    const { metrics, labels, errors } = namesIn(expression);
    assert.equal(errors, 0, `${where} is not PromQL: ${expression}`);
    assert.ok(metrics.size > 0, where);
    const allowed = new Set(addedByPrometheus);
    for (const metric of metrics) {
      const own = known.get(metric);
      assert.ok(own !== undefined, `${where} names ${metric}, which does not exist`);
      for (const label of own) allowed.add(label);
    }
    for (const label of labels)
      assert.ok(allowed.has(label), `${where}: no metric of it has a label ${label}`);
  }
});

test('the parse finds what is wrong', () => {
  assert.equal(namesIn('rate(a_total[5m]) > 0').errors, 0);
  assert.notEqual(namesIn('rate(a_total[5m) > 0').errors, 0);
  assert.deepEqual([...namesIn('sum by (x) (a{y="1"} / on (z) b)').labels].toSorted(), ['x', 'y', 'z']);
  assert.deepEqual([...namesIn('sum(a{y="1"}) / b').metrics], ['a', 'b']);
});

test('every alert has a severity, a summary and a heading that says what to do', async () => {
  const metricsPage = await read('kms-plugin-metrics.md');
  const anchors = [...metricsPage.matchAll(/^#{2,3} (.+)$/gm)].map(([, heading = '']) =>
    heading.toLowerCase().replaceAll(' ', '-'),
  );
  const all = await rules();
  assert.equal(new Set(all.map(({ alert }) => alert)).size, all.length);
  for (const { alert, labels, annotations } of all) {
    assert.match(labels.severity ?? '', /^(critical|warning)$/, alert);
    assert.match(annotations['summary'] ?? '', /^[A-Z].{10,}/, alert);
    assert.match(annotations['description'] ?? '', /.{20,}\.$/, alert);
    const [page, anchor = ''] = (annotations['runbook'] ?? '').split('#');
    assert.equal(page, 'docs/operating/kms-plugin-metrics.md', alert);
    assert.equal(anchor, alert.toLowerCase());
    assert.ok(anchors.includes(anchor), `${alert} has no heading`);
  }
});

test('the list of metrics is complete and has nothing else', async (t) => {
  const known = [...(await existing(t)).keys()].filter(
    (name) => name.startsWith('waxseal_') && !/_(bucket|sum|count)$/.test(name),
  );
  const listed = [...(await read('kms-plugin-metrics.md')).matchAll(/^\| (`waxseal_[^|]*) \|/gm)].flatMap(
    ([, names = '']) => [...names.matchAll(/`([a-z_]+)`/g)].map(([, name = '']) => name),
  );
  assert.deepEqual(listed.toSorted(), known.toSorted());
});
