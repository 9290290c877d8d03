/** Where a key service is: data keys travel there, so only TLS, or this machine. */
import { KmsPluginError } from '../errors.js';

/** @throws KmsPluginError `invalid_options` */
export function parseEndpoint(text: string): URL {
  const endpoint = URL.canParse(text) ? new URL(text) : undefined;
  if (endpoint === undefined || (endpoint.protocol !== 'https:' && endpoint.protocol !== 'http:')) {
    throw new KmsPluginError('invalid_options', `"${text}" is not an endpoint. Use https://host:port.`);
  }
  const here = ['localhost', '127.0.0.1', '[::1]'].includes(endpoint.hostname);
  if (endpoint.protocol === 'http:' && !here) {
    throw new KmsPluginError('invalid_options', `"${text}" would send data keys in the clear. Use https.`);
  }
  return endpoint;
}
