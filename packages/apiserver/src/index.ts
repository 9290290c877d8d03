export { startApiServer, type ApiServer, type ApiServerOptions } from './server.js';
export { ApiServerError, type ApiServerErrorCode } from './errors.js';
export { parseTokenFile, type StaticToken } from './auth/static-tokens.js';
export type { ServiceAccountKeys } from './auth/service-account-tokens.js';
export type { ApiLimits } from './http/api-listener.js';
export type { ListenOptions, TlsOptions } from './http/https-server.js';
