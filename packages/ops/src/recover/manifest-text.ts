/** What was recovered as text: YAML documents or JSON lines. What could not be an object is a document of a kind of its own, so that nothing takes it for one. */
import { formatYaml, type JsonObject } from '@waxseal/api-types';
import type { Recovered } from './recover.js';

export const manifestFormats = ['yaml', 'jsonl'] as const;
export type ManifestFormat = (typeof manifestFormats)[number];

/** What a document is made of. */
export type Writable = Exclude<Recovered, { readonly kind: 'left-out' }>;

/** One document: of YAML with `---` before it, of JSON one line. */
export function formatRecovered(recovered: Writable, format: ManifestFormat): string {
  const object = recovered.kind === 'object' ? recovered.object : unrecoveredObject(recovered);
  return format === 'yaml' ? `---\n${formatYaml(object)}` : `${JSON.stringify(object)}\n`;
}

function unrecoveredObject({
  key,
  stage,
  reason,
  bytes,
}: Extract<Recovered, { readonly kind: 'unrecovered' }>): JsonObject {
  return {
    apiVersion: 'recover.waxseal.dev/v1',
    kind: 'Unrecovered',
    key,
    stage,
    reason,
    base64: bytes.toString('base64'),
  };
}
