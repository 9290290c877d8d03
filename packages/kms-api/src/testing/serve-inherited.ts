/** A process that serves on the socket it is given as file descriptor 3, until its standard input ends. */
import { inheritedSockets } from '../inherited-sockets.js';
import { serveKms } from '../server.js';
import { turningV2 } from './services.js';

const environment = { LISTEN_PID: String(process.pid), LISTEN_FDS: '1', LISTEN_FDNAMES: 'kms' };
const server = await serveKms({
  services: { v2: turningV2() },
  listen: 'fd://kms',
  inheritedSockets: inheritedSockets(environment, process.pid),
});
console.log(server.sockets.join());
process.stdin.resume().once('end', () => void server.close(100));
