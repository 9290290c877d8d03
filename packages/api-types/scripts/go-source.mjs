/**
 * Reads the facts of a Go API types file that the interface definition does not carry: JSON names and options,
 * pointers, embedding, patch tags and the `+marker` comments of list and map semantics.
 */

/**
 * @typedef {{ goName: string, goType: string, json: string[], protobuf: string, patchStrategy: string, patchMergeKey: string, markers: Map<string, string[]> }} GoField
 * @typedef {{ fields: GoField[], markers: Map<string, string[]> }} GoStruct
 */

const structPattern = /^type (\w+) struct ?\{(\})?$/;
const fieldPattern = /^(?:(\w+)\s+)?(\*?[\w.[\]*]+(?:\]\S+)?)(?:\s+`([^`]*)`)?(?:\s*\/\/.*)?$/;
const markerPattern = /^\/\/\s*\+([\w:-]+)(?:=(.*))?$/;

/** @param {string} tags @param {string} name */
function tag(tags, name) {
  return new RegExp(`(?:^|\\s)${name}:"([^"]*)"`).exec(tags)?.[1] ?? '';
}

/** @param {Map<string, string[]>} markers @param {string} line */
function noteMarker(markers, line) {
  const match = markerPattern.exec(line);
  if (!match) return;
  markers.set(match[1], [...(markers.get(match[1]) ?? []), (match[2] ?? '').trim()]);
}

/** @param {string} text @returns {Map<string, GoStruct>} */
export function parseGoStructs(text) {
  const structs = new Map();
  /** @type {GoStruct | undefined} */
  let current;
  let markers = new Map();
  for (const rawLine of text.replace(/\/\*[\s\S]*?\*\//g, '').split('\n')) {
    const line = rawLine.trim();
    if (line.startsWith('//')) {
      noteMarker(markers, line);
      continue;
    }
    const structMatch = structPattern.exec(rawLine);
    if (structMatch) {
      const struct = { fields: [], markers };
      structs.set(structMatch[1], struct);
      current = structMatch[2] === undefined ? struct : undefined;
      markers = new Map();
    } else if (rawLine === '}') current = undefined;
    else if (current && line !== '') {
      const match = fieldPattern.exec(line);
      if (!match) throw new Error(`Go field not understood: ${rawLine}`);
      const tags = match[3] ?? '';
      current.fields.push({
        goName: match[1] ?? match[2].replace(/^\*/, '').replace(/^.*\./, ''),
        goType: match[2],
        json: tag(tags, 'json').split(','),
        protobuf: tag(tags, 'protobuf'),
        patchStrategy: tag(tags, 'patchStrategy'),
        patchMergeKey: tag(tags, 'patchMergeKey'),
        markers,
      });
      markers = new Map();
    } else if (!current && line !== '') markers = new Map();
  }
  return structs;
}
