/** What the etcd store and the etcd front report while they run; a pino logger fits. Never values, never passwords. */
export interface EtcdLogger {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}
