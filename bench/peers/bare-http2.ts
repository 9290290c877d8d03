/**
 * What HTTP/2 in Node costs: node:http2 that answers each stream with the same gRPC frame and trailers.
 *
 *   node bare-http2.js SOCKET      prints one line when it listens
 */
import { createServer } from 'node:http2';

const [socketPath = ''] = process.argv.slice(2);
const answer = Buffer.concat([Buffer.from([0, 0, 0, 0, 34, 0x0a, 32]), Buffer.alloc(32, 7)]);
const server = createServer();
server.on('stream', (stream) => {
  stream.on('error', () => undefined);
  stream.resume();
  stream.on('end', () => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc+proto' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(answer);
  });
});
server.listen(socketPath, () => console.log('listening'));
