export * from './service.js';
export { connectKmsV1, kmsV1Version, type KmsV1Client } from './client-v1.js';
export { connectKmsV2, type KmsV2Client } from './client-v2.js';
export type { ConnectKmsOptions } from './channel.js';
export { parseEndpoint, type SocketAddress } from './endpoint.js';
export { grpcStatusOf, KmsApiError, type KmsApiErrorCode, type KmsApiErrorFields } from './errors.js';
export { everyInherited, inheritedSockets, type InheritedSockets } from './inherited-sockets.js';
export { parseSocketGroup } from './socket-group.js';
export { serveKms, type KmsServer, type ServeKmsOptions } from './server.js';
export type { CallReport, ReportCall } from './server-call.js';
export { annotationsProblem, isFullyQualifiedDomainName, keyIdProblem } from './validate.js';
export * from './limits.js';
/** The messages as they travel, for tools that must send what the clients above refuse to. */
export * as kmsV1Messages from './gen/kms/v1beta1/api.js';
export * as kmsV2Messages from './gen/kms/v2/api.js';
