/** Parsers of option values, with errors that say what is allowed. */
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';

/** A TCP port, 0 for a free one. */
export function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535)
    throw new InvalidArgumentError('Expected a port, 0 to 65535 (0: a free one).');
  return port;
}

/** A Region as AWS spells them; the service has every one. */
export function parseRegion(text: string): string {
  if (!/^[a-z]{2}(-[a-z]+){1,3}-\d{1,2}$/.test(text))
    throw new InvalidArgumentError('Expected a Region, as us-east-1.');
  return text;
}

/** An address of this machine, or a name of it. */
export function parseHost(text: string): string {
  if (isIP(text) === 0 && !/^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,252}[a-zA-Z0-9])?$/.test(text))
    throw new InvalidArgumentError('Expected an address or a host name, without a port.');
  return text;
}

/** A path. Empty is what an unset shell variable leaves; it would mean the current folder. */
export function parsePath(text: string): string {
  if (text === '') throw new InvalidArgumentError('Expected a path, got nothing.');
  return text;
}

/** A path, also a relative one, `unix:///path`, `@abstract`, `fd://name` or `systemd`; the path absolute in the answer. */
export function parseSocket(text: string): string {
  return text === 'systemd' || text.startsWith('@') || /^\w+:/.test(text) ? text : resolve(parsePath(text));
}

/** Sockets, each as `parseSocket` takes it. */
export function collectSocket(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, parseSocket(text)];
}

/** `8080` (on 127.0.0.1), `:8080` (on every address, as Go programs write it), `host:8080`. An empty host means every address. */
export function parseHealthAddress(text: string): { readonly host: string; readonly port: number } {
  const colon = text.lastIndexOf(':');
  if (colon < 0) return { host: '127.0.0.1', port: parsePort(text) };
  const host = text.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  return { host: host === '' ? '' : parseHost(host), port: parsePort(text.slice(colon + 1)) };
}

/** `secrets`, `deployments.apps`: the first label is the resource, the rest the group. */
export function parseResource(text: string): { readonly group: string; readonly resource: string } {
  const [resource = '', ...group] = text.split('.');
  // As the API server asks: by plural name, in lower case, never by wildcard.
  if (![resource, ...group].every((label) => /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(label)))
    throw new InvalidArgumentError(
      'Expected a resource, as secrets, or resource.group, as deployments.apps.',
    );
  return { group: group.join('.'), resource };
}

/** A date, a point in time with its zone, or days from now as `30d`. */
export function parseExpiry(text: string): Date {
  const days = /^(\d{1,4})d$/.exec(text)?.[1];
  const expires =
    days === undefined
      ? /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d))?$/.test(text)
        ? new Date(text)
        : new Date(Number.NaN)
      : new Date(Date.now() + Number(days) * 86_400_000);
  if (Number.isNaN(expires.getTime()))
    throw new InvalidArgumentError(
      'Expected a date, as 2030-01-31 or 2030-01-31T12:00:00Z, or days, as 30d.',
    );
  return expires;
}

export type StorageOption =
  { readonly kind: 'lmdb' } | { readonly kind: 'etcd'; readonly endpoints: readonly string[] };

/** `lmdb`, or `etcd://host:2379,host:2379`, `etcds://…` for TLS. */
export function parseStorage(text: string): StorageOption {
  if (text === 'lmdb') return { kind: 'lmdb' };
  const match = /^(etcds?|https?):\/\/(.+)$/.exec(text);
  if (match === null) {
    throw new InvalidArgumentError('Expected lmdb, etcd://host:2379,host:2379 or etcds://… for TLS.');
  }
  if (text.split(',').some((part) => part.includes('://') && !part.trim().startsWith(`${match[1]}://`))) {
    throw new InvalidArgumentError('All servers need the same scheme.');
  }
  const scheme = match[1] === 'etcds' || match[1] === 'https' ? 'https' : 'http';
  const endpoints = (match[2] as string).split(',').map((part) =>
    part
      .trim()
      .replace(/^(etcds?|https?):\/\//, '')
      .replace(/\/$/, ''),
  );
  for (const endpoint of endpoints) {
    if (!/^(\[[0-9a-fA-F:]+\]|[^\s:/]+):\d{1,5}$/.test(endpoint)) {
      throw new InvalidArgumentError(`'${endpoint}' is not host:port.`);
    }
  }
  return { kind: 'etcd', endpoints: endpoints.map((endpoint) => `${scheme}://${endpoint}`) };
}

export const outputFormats = ['text', 'json'] as const;
export type OutputFormat = (typeof outputFormats)[number];

export const logLevels = ['silent', 'error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof logLevels)[number];

/** `name=value,name=value`, as AWS's encryption contexts are written on command lines. */
export function parseEncryptionContext(text: string): Record<string, string> {
  const context: Record<string, string> = {};
  for (const pair of text.split(',')) {
    const at = pair.indexOf('=');
    if (at <= 0) throw new InvalidArgumentError(`'${pair}' is not name=value.`);
    const name = pair.slice(0, at);
    if (Object.hasOwn(context, name)) throw new InvalidArgumentError(`'${name}' is given twice.`);
    context[name] = pair.slice(at + 1);
  }
  return context;
}

/** The value of a flag that may stand alone or be given as `--flag=true`, as Go programs take it. */
export function parseBoolean(text: string): boolean {
  if (text === 'true' || text === 'false') return text === 'true';
  throw new InvalidArgumentError('Expected true or false.');
}
