// Goal: what a fix did, and what it could not do, is said in words that name the next step. Method: reports that are given.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ResidueReport } from '@waxseal/ops';
import { formatResidueReport } from './residue-report.js';

const EMPTY: ResidueReport = { groups: [], total: 0, problems: [], notSearched: ['backups'] };

test('a fix names every member, those that were not named, and alarms that are on', () => {
  const text = formatResidueReport({
    ...EMPTY,
    fix: {
      kind: 'etcd',
      revision: 7,
      members: [
        { endpoint: 'https://a:2379', name: 'a', isLeader: false, bytesBefore: 900, bytesAfter: 300 },
        { endpoint: 'https://b:2379', name: 'b', isLeader: true, bytesBefore: 901, bytesAfter: 301 },
      ],
      notNamed: ['c'],
      alarms: [
        { member: 'a', alarm: 'NOSPACE' },
        { member: 'b', alarm: 'CORRUPT' },
      ],
      disarmed: [],
    },
  });
  assert.match(text, /^Compacted to revision 7, defragmented:/);
  assert.match(text, /a +https:\/\/a:2379 +900 +300\n/);
  assert.match(text, /b \(leader\) +https:\/\/b:2379 +901 +301\n/);
  assert.match(text, /Not defragmented, as --etcd does not name them: c\./);
  assert.match(text, /a still has the alarm NOSPACE: .*etcdctl alarm disarm, or --fix --disarm/);
  assert.match(text, /b has the alarm CORRUPT/);
  assert.match(text, /\n\nNothing is left behind\.\n/);
});

test('an alarm that was taken off, and a new file of the embedded store', () => {
  const members: never[] = [];
  const disarmed = [{ member: 'a', alarm: 'NOSPACE' }] as const;
  assert.match(
    formatResidueReport({
      ...EMPTY,
      fix: { kind: 'etcd', revision: 7, members, notNamed: [], alarms: [], disarmed },
    }),
    /The alarm NOSPACE of a was taken off\./,
  );
  assert.match(
    formatResidueReport({
      ...EMPTY,
      fix: { kind: 'data-dir', path: '/data/api/data.mdb', revision: 7, bytesBefore: 9, bytesAfter: 3 },
    }),
    /^Written anew: \/data\/api\/data\.mdb, 9 to 3 bytes\./,
  );
});

test('each remedy is told once, with the places it is for', () => {
  const group = {
    resource: 'secrets',
    provider: 'identity',
    key: '',
    count: 2,
    bytes: 9,
    examples: [],
  } as const;
  const text = formatResidueReport({
    ...EMPTY,
    groups: [
      { ...group, source: 'etcd', place: 'history', remedy: 'Compaction.' },
      { ...group, source: 'backup', place: 'history', remedy: 'Deletion.' },
      { ...group, source: 'backup', place: 'live', remedy: 'Deletion.' },
    ],
    total: 6,
    problems: [{ source: 'notes.txt', message: 'no snapshot' }],
    backups: { checked: 2 },
  });
  assert.match(text, /What removes it:\n {2}history: Compaction\.\n {2}history, live: Deletion\.\n/);
  assert.match(text, /\nNot whole: notes\.txt: no snapshot\.\nBackups looked at: 2\.\n/);
});
