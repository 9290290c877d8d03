/**
 * What frees space in an etcd cluster: compaction until it is done on every member's disk, then defragmentation, one member after the
 * other, the leader last.
 *
 * A member deletes compacted revisions in its own time, behind the answer. Asked for the same compaction with `physical`, it answers
 * `compacted` when what it still had to delete is deleted (etcd `mvcc/kvstore.go`, `compactBarrier`): so each member is asked.
 */
import {
  AlarmRequest_AlarmAction,
  AlarmType,
  ClusterService,
  KVService,
  MaintenanceService,
  type Member,
} from '../gen/etcd/rpc.js';
import { StoreError } from '../store.js';
import { EtcdConnection, type ConnectionOptions } from './connection.js';

export interface ShrinkOptions extends ConnectionOptions {
  /** Takes NOSPACE alarms off afterwards; until then the cluster refuses writes. Never CORRUPT ones. Default: they stay. */
  readonly disarm?: boolean | undefined;
  /** Before each call that may take long. */
  readonly onStep?: ((step: ShrinkStep) => void) | undefined;
}

export interface ShrinkStep {
  readonly phase: 'compact' | 'defragment';
  readonly endpoint: string;
  /** Members that are done with this phase, and all of them. */
  readonly done: number;
  readonly total: number;
}

export interface ShrunkMember {
  /** As it was given. */
  readonly endpoint: string;
  readonly name: string;
  readonly isLeader: boolean;
  /** Of its database file. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

export interface EtcdAlarm {
  /** The member's name; its id in hexadecimal when it has left. */
  readonly member: string;
  readonly alarm: 'NOSPACE' | 'CORRUPT';
}

export interface ShrinkResult {
  /** Everything before it is gone from the members' files. */
  readonly revision: number;
  readonly members: readonly ShrunkMember[];
  /** Members of the cluster that no endpoint names: their files are as they were. */
  readonly notNamed: readonly string[];
  /** Still on. */
  readonly alarms: readonly EtcdAlarm[];
  /** Taken off. */
  readonly disarmed: readonly EtcdAlarm[];
}

interface NamedMember {
  readonly endpoint: string;
  readonly id: bigint;
  readonly isLeader: boolean;
  readonly bytesBefore: number;
  readonly connection: EtcdConnection;
}

/**
 * Compacts the history below `revision`, waits until every member has deleted it, and writes each member's database file anew. A member
 * answers nothing while its file is written; `requestTimeoutMs` is the time for that, and for the deletion. Doing it twice does no harm.
 *
 * @param options `endpoints` names every member by its own address; all of them must answer before anything is done
 * @throws StoreError; `invalid-argument` when the endpoints are of different clusters
 */
export async function shrinkEtcd(options: ShrinkOptions, revision: number): Promise<ShrinkResult> {
  const connections = options.endpoints.map((endpoint) => ({
    endpoint,
    connection: new EtcdConnection({ ...options, endpoints: [endpoint] }),
  }));
  try {
    const named = await membersBehind(connections);
    const [first] = named;
    if (first === undefined) throw new StoreError('invalid-argument', 'No etcd endpoint is given.');
    const { members } = await first.connection.unary(
      ClusterService.memberList,
      { linearizable: false },
      'idempotent',
    );
    const names = namesOf(members);
    await compactAll(named, revision, options);
    const shrunk = await defragmentAll(named, names, options);
    const alarms = await readAlarms(first.connection, names);
    const disarmed = options.disarm === true ? await takeOff(first.connection, alarms) : [];
    return {
      revision,
      members: shrunk,
      notNamed: members
        .filter(({ ID }) => !named.some(({ id }) => id === ID))
        .map(({ ID }) => nameOf(names, ID)),
      alarms: (disarmed.length === 0 ? alarms : await readAlarms(first.connection, names)).map(shown),
      disarmed: disarmed.map(shown),
    };
  } finally {
    await Promise.all(connections.map(({ connection }) => connection.close()));
  }
}

/** Each once, however many endpoints lead to it. */
async function membersBehind(
  connections: readonly { readonly endpoint: string; readonly connection: EtcdConnection }[],
): Promise<readonly NamedMember[]> {
  const answers = await Promise.all(
    connections.map(async ({ endpoint, connection }) => {
      await connection.dial();
      const status = await connection.unary(MaintenanceService.status, {}, 'idempotent');
      return { endpoint, connection, status };
    }),
  );
  const clusters = new Set(answers.map(({ status }) => status.header?.clusterId));
  if (clusters.size > 1) {
    throw new StoreError(
      'invalid-argument',
      'The etcd endpoints are members of different clusters; name the members of one. Nothing was done.',
    );
  }
  const byId = new Map<bigint, NamedMember>();
  for (const { endpoint, connection, status } of answers) {
    const id = status.header?.memberId ?? 0n;
    if (byId.has(id)) continue;
    const isLeader = status.leader === id;
    byId.set(id, { endpoint, id, isLeader, bytesBefore: Number(status.dbSize), connection });
  }
  return [...byId.values()];
}

async function compactAll(
  named: readonly NamedMember[],
  revision: number,
  { onStep }: ShrinkOptions,
): Promise<void> {
  for (const [done, { endpoint, connection }] of named.entries()) {
    onStep?.({ phase: 'compact', endpoint, done, total: named.length });
    try {
      await connection.unary(KVService.compact, { revision: BigInt(revision), physical: true }, 'write');
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'compacted') throw error;
    }
  }
}

/** The leader last: every member that stops answering while it leads costs the cluster an election. */
async function defragmentAll(
  named: readonly NamedMember[],
  names: ReadonlyMap<bigint, string>,
  { onStep }: ShrinkOptions,
): Promise<readonly ShrunkMember[]> {
  const inOrder = named.toSorted((a, b) => Number(a.isLeader) - Number(b.isLeader));
  const shrunk: ShrunkMember[] = [];
  for (const { endpoint, id, isLeader, bytesBefore, connection } of inOrder) {
    onStep?.({ phase: 'defragment', endpoint, done: shrunk.length, total: inOrder.length });
    await connection.unary(MaintenanceService.defragment, {}, 'write');
    const { dbSize } = await connection.unary(MaintenanceService.status, {}, 'idempotent');
    shrunk.push({
      endpoint,
      name: nameOf(names, id),
      isLeader,
      bytesBefore,
      bytesAfter: Number(dbSize),
    });
  }
  return shrunk;
}

interface RaisedAlarm extends EtcdAlarm {
  readonly memberId: bigint;
}

async function readAlarms(
  connection: EtcdConnection,
  names: ReadonlyMap<bigint, string>,
): Promise<readonly RaisedAlarm[]> {
  const request = { action: AlarmRequest_AlarmAction.GET, memberID: 0n, alarm: AlarmType.NONE };
  const { alarms } = await connection.unary(MaintenanceService.alarm, request, 'idempotent');
  return alarms.map(({ memberID, alarm }) => ({
    memberId: memberID,
    member: nameOf(names, memberID),
    alarm: alarm === AlarmType.NOSPACE ? 'NOSPACE' : 'CORRUPT',
  }));
}

async function takeOff(
  connection: EtcdConnection,
  alarms: readonly RaisedAlarm[],
): Promise<readonly RaisedAlarm[]> {
  const full = alarms.filter(({ alarm }) => alarm === 'NOSPACE');
  for (const { memberId } of full) {
    const request = {
      action: AlarmRequest_AlarmAction.DEACTIVATE,
      memberID: memberId,
      alarm: AlarmType.NOSPACE,
    };
    await connection.unary(MaintenanceService.alarm, request, 'write');
  }
  return full;
}

const shown = ({ member, alarm }: RaisedAlarm): EtcdAlarm => ({ member, alarm });

/** A member that was added and has not started has no name yet. */
function namesOf(members: readonly Member[]): ReadonlyMap<bigint, string> {
  return new Map(members.filter(({ name }) => name !== '').map(({ ID, name }) => [ID, name]));
}

const nameOf = (names: ReadonlyMap<bigint, string>, id: bigint): string => names.get(id) ?? id.toString(16);
