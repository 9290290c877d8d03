/**
 * Listening sockets that systemd made and hands over (socket activation).
 *
 * Source of the rule: sd_listen_fds(3). The sockets are the file descriptors 3, 4, … as many as LISTEN_FDS says, for the process that
 * LISTEN_PID names; LISTEN_FDNAMES holds their names, parted by colons.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { resolve } from 'node:path';
import { KmsApiError } from './errors.js';

/** By `fd://NAME` and by `fd://NUMBER`, the address to listen on; the first socket of a name has it. */
export type InheritedSockets = ReadonlyMap<string, number>;

const firstFd = 3;
// sd_listen_fds gives no limit; nobody serves this many key sets, and a garbled number must not fill memory.
const socketsMax = 256;

/**
 * @returns empty when nothing is handed to this process
 * @throws KmsApiError `invalid_endpoint` when the variables contradict themselves
 */
export function inheritedSockets(
  environment: Readonly<Record<string, string | undefined>>,
  pid: number,
): InheritedSockets {
  const sockets = new Map<string, number>();
  if (environment['LISTEN_PID'] !== String(pid)) return sockets;
  const count = environment['LISTEN_FDS'] ?? '';
  if (!/^\d{1,3}$/.test(count) || Number(count) > socketsMax) {
    throw new KmsApiError(
      'invalid_endpoint',
      'LISTEN_FDS is no number of sockets. Start the plugin by its systemd socket unit.',
    );
  }
  const names = (environment['LISTEN_FDNAMES'] ?? '').split(':');
  for (let index = 0; index < Number(count); index++) {
    const fd = firstFd + index;
    const name = names[index];
    sockets.set(`fd://${fd}`, fd);
    if (name !== undefined && name !== '' && !sockets.has(`fd://${name}`)) sockets.set(`fd://${name}`, fd);
  }
  return sockets;
}

/** Each inherited socket once, as `fd://NUMBER`. */
export function everyInherited(sockets: InheritedSockets): readonly string[] {
  return [...new Set(sockets.values())].map((fd) => `fd://${fd}`);
}

/** The `unix://` URL of an inherited socket, as far as the kernel tells it. */
export function urlOfInherited(fd: number): string | undefined {
  try {
    const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1];
    // proc_net_unix: num, refcount, protocol, flags, type, state, inode, path.
    const line = readFileSync('/proc/net/unix', 'utf8')
      .split('\n')
      .map((text) => text.trim().split(/\s+/))
      .find((fields) => inode !== undefined && fields[6] === inode);
    const path = line?.slice(7).join(' ');
    if (path === undefined || path === '') return undefined;
    // A path is told as it was bound; whoever bound a relative one also started this process, in the same folder.
    return path.startsWith('@') ? `unix:///${path}` : `unix://${resolve(path)}`;
  } catch {
    return undefined;
  }
}
