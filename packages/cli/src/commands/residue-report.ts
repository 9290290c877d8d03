/** What `waxseal residue` found, and what its fix did, in words. */
import type { ResidueFix, ResidueReport } from '@waxseal/ops';
import { formatTable } from '../table.js';
import { printable } from '../terminal-text.js';

export function formatResidueReport(report: ResidueReport): string {
  const { groups, problems, markers, notSearched, fix, backups } = report;
  const lines = fix === undefined ? [] : [...fixLines(fix), ''];
  lines.push(groups.length === 0 ? 'Nothing is left behind.' : 'Left behind:');
  if (groups.length > 0) {
    lines.push(
      formatTable(
        ['PLACE', 'RESOURCE', 'STORED AS', 'COPIES', 'FIRST', 'SOURCE'],
        groups.map(({ place, resource, provider, key, count, examples, source }) => [
          place,
          resource,
          provider === 'identity' ? 'plaintext' : `${provider}:${key}`,
          String(count),
          examples[0] ?? '-',
          source,
        ]),
      ),
      '',
      'What removes it:',
    );
    for (const [remedy, places] of placesByRemedy(groups)) lines.push(`  ${places.join(', ')}: ${remedy}`);
  }
  for (const { source, encoding, count, positions } of markers ?? []) {
    const places = positions.join(', ');
    lines.push(
      `The marker is in ${source}, ${encoding}, ${count} times: at byte ${places}${count > positions.length ? ', …' : ''}.`,
    );
  }
  if (markers?.length === 0) lines.push('The marker is in no file.');
  for (const { source, message } of problems)
    lines.push(printable(`Not whole: ${source}: ${message.replace(/\.$/, '')}.`));
  if (backups !== undefined) lines.push(`Backups looked at: ${backups.checked}.`);
  lines.push(`Not searched: ${notSearched.join(', ')}.`);
  return lines.join('\n');
}

/** The same place has another remedy in a backup than in a member. */
function placesByRemedy(groups: ResidueReport['groups']): ReadonlyMap<string, readonly string[]> {
  const byRemedy = new Map<string, string[]>();
  for (const { place, remedy } of groups) {
    const places = byRemedy.get(remedy) ?? [];
    if (!places.includes(place)) places.push(place);
    byRemedy.set(remedy, places);
  }
  return byRemedy;
}

function fixLines(fix: ResidueFix): readonly string[] {
  if (fix.kind === 'data-dir') {
    return [`Written anew: ${fix.path}, ${fix.bytesBefore} to ${fix.bytesAfter} bytes.`];
  }
  const lines = [
    `Compacted to revision ${fix.revision}, defragmented:`,
    formatTable(
      ['MEMBER', 'ENDPOINT', 'BYTES BEFORE', 'BYTES AFTER'],
      fix.members.map(({ name, endpoint, isLeader, bytesBefore, bytesAfter }) => [
        isLeader ? `${name} (leader)` : name,
        endpoint,
        String(bytesBefore),
        String(bytesAfter),
      ]),
    ),
  ];
  if (fix.notNamed.length > 0) {
    lines.push(
      `Not defragmented, as --etcd does not name them: ${fix.notNamed.join(', ')}. Their free pages hold what was there.`,
    );
  }
  for (const { member, alarm } of fix.disarmed) lines.push(`The alarm ${alarm} of ${member} was taken off.`);
  for (const { member, alarm } of fix.alarms) {
    lines.push(
      alarm === 'NOSPACE'
        ? `${member} still has the alarm NOSPACE: the cluster refuses writes until etcdctl alarm disarm, or --fix --disarm.`
        : `${member} has the alarm ${alarm}: its data differs from the other members'. Replace the member.`,
    );
  }
  return lines;
}
