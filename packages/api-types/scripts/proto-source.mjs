/**
 * Reads the facts of a `generated.proto` interface definition: messages, field names, numbers, types.
 *
 * Only the subset the Kubernetes generator writes is understood (proto2, flat messages); anything else throws, so a
 * new construct is noticed and never silently dropped.
 */

/** @typedef {{ name: string, number: number, label: 'optional' | 'repeated' | 'map', type: string }} ProtoField */
/** @typedef {{ package: string, messages: Map<string, ProtoField[]> }} ProtoFile */

const fieldPattern = /^(optional|repeated|required) (\.?[\w.]+) (\w+) = (\d+);$/;
const mapPattern = /^map<string, (\.?[\w.]+)> (\w+) = (\d+);$/;

/** @param {string} text @returns {ProtoFile} */
export function parseProto(text) {
  const messages = new Map();
  let packageName = '';
  /** @type {ProtoField[] | undefined} */
  let fields;
  for (const rawLine of text.replace(/\/\*[\s\S]*?\*\//g, '').split('\n')) {
    const line = rawLine.replace(/\/\/.*$/, '').trim();
    if (line === '' || /^(syntax|import|option|reserved) /.test(line)) continue;
    const packageMatch = /^package ([\w.]+);$/.exec(line);
    const messageMatch = /^message (\w+) \{$/.exec(line);
    const fieldMatch = fieldPattern.exec(line);
    const mapMatch = mapPattern.exec(line);
    if (packageMatch) packageName = packageMatch[1];
    else if (messageMatch) {
      fields = [];
      messages.set(messageMatch[1], fields);
    } else if (line === '}') fields = undefined;
    else if (fieldMatch && fields) {
      const label = fieldMatch[1] === 'repeated' ? 'repeated' : 'optional';
      fields.push({ name: fieldMatch[3], number: Number(fieldMatch[4]), label, type: fieldMatch[2] });
    } else if (mapMatch && fields) {
      fields.push({ name: mapMatch[2], number: Number(mapMatch[3]), label: 'map', type: mapMatch[1] });
    } else throw new Error(`proto line not understood: ${rawLine}`);
  }
  return { package: packageName, messages };
}
