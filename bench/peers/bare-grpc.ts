/**
 * What gRPC in Node costs with nothing behind it: @grpc/grpc-js with a handler that answers the same bytes to every call.
 *
 *   node bare-grpc.js SOCKET      prints one line when it listens
 */
import { Server, ServerCredentials, type handleUnaryCall } from '@grpc/grpc-js';

const [socketPath = ''] = process.argv.slice(2);
const asIs = (bytes: Buffer): Buffer => bytes;
/** A DecryptResponse or EncryptResponse: 32 bytes in field 1. */
const answer = Buffer.concat([Buffer.from([0x0a, 32]), Buffer.alloc(32, 7)]);
const handle: handleUnaryCall<Buffer, Buffer> = (_call, callback) => callback(null, answer);
const method = (name: string) => ({
  path: `/v2.KeyManagementService/${name}`,
  requestStream: false as const,
  responseStream: false as const,
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
});
const server = new Server({ 'grpc.enable_channelz': 0 });
server.addService(
  { status: method('Status'), encrypt: method('Encrypt'), decrypt: method('Decrypt') },
  { status: handle, encrypt: handle, decrypt: handle },
);
server.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
  console.log('listening');
});
