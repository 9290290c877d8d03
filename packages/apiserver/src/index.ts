export { startApiServer, type ApiServer, type ApiServerOptions } from './server.js';
export { parseTokenFile, TokenFileError, type StaticToken } from './auth/static-tokens.js';
export { ServiceAccountTokenError, type ServiceAccountKeys } from './auth/service-account-tokens.js';
export type { ApiLimits } from './http/api-listener.js';
export type { ListenOptions, TlsOptions } from './http/https-server.js';
