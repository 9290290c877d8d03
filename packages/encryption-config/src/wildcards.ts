/**
 * Which rule of a configuration covers a resource.
 *
 * Source of the rule: k8s.io/apiserver `server/options/encryptionconfig` (transformerFromOverrides). A rule for the
 * resource itself wins over `*.group`, that over `*.*`, whatever their order; but a rule that stands behind a wildcard
 * which covers it could never be meant, so it is refused as masked. `*.` is the core group.
 */
import type { GroupResource } from './at-rest.js';
import type { EncryptionConfiguration } from './config.js';
import type { FieldError } from './field-error.js';

export const ANY = '*';
const ANY_GROUP_ANY_RESOURCE = '*.*';

/** Everything up to the first dot is the resource. */
export function parseGroupResource(text: string): GroupResource {
  const dot = text.indexOf('.');
  return dot < 0
    ? { group: '', resource: text }
    : { group: text.slice(dot + 1), resource: text.slice(0, dot) };
}

/** As a configuration writes it: `secrets`, `deployments.apps`, `*.`, `*.apps`, `*.*`. */
export function formatGroupResource({ group, resource }: GroupResource): string {
  if (group === '') return resource === ANY ? '*.' : resource;
  return `${resource}.${group}`;
}

/** The names under which a rule for `resource` may stand, the most specific first. */
export function rulesFor(resource: GroupResource): readonly string[] {
  return [
    formatGroupResource(resource),
    formatGroupResource({ group: resource.group, resource: ANY }),
    ANY_GROUP_ANY_RESOURCE,
  ];
}

/** The rules that an earlier one masks. */
export function maskedRules(config: EncryptionConfiguration): readonly FieldError[] {
  const errors: FieldError[] = [];
  const earlier = new Set<string>();
  for (const { resources } of config.resources) {
    for (const text of resources) {
      const resource = parseGroupResource(text);
      const name = formatGroupResource(resource);
      const wildcard = [
        formatGroupResource({ group: resource.group, resource: ANY }),
        ANY_GROUP_ANY_RESOURCE,
      ].find((rule) => earlier.has(rule));
      if (wildcard !== undefined) {
        const [masked, by] = [JSON.stringify(name), JSON.stringify(wildcard)];
        errors.push({ field: '', message: `resource ${masked} is masked by earlier rule ${by}` });
      }
      earlier.add(name);
    }
  }
  return errors;
}
