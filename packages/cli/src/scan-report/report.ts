/** What a scan found and what a policy says to it: one input for every form of the report. */
import type { PolicyViolation, ScanGroup, ScanResult } from '@waxseal/ops';

export interface ScanReport extends ScanResult {
  readonly prefix: string;
  /** Milliseconds since 1970. */
  readonly takenAtMs: number;
  /** Undefined: no policy was given. */
  readonly violations?: readonly PolicyViolation[];
  /** Resources of the policy of which there is no value; undefined: no policy was given. */
  readonly notStored?: readonly string[];
}

/** Anybody who can read the storage can read it, or nobody knows what it is. */
export function isAlarming({ provider }: Pick<ScanGroup, 'provider'>): boolean {
  return provider === 'identity' || provider === 'unknown';
}

/** `12`, `1000+` when there are more than are told apart, empty without a KMS. */
export function dekSourceCount({ dekSources, moreDekSources }: ScanGroup): string {
  if (dekSources.length === 0) return '';
  return `${dekSources.length}${moreDekSources > 0 ? '+' : ''}`;
}

/** `1.2 MiB` */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const amount = bytes / 2 ** (10 * power);
  return `${power === 0 ? amount : amount.toFixed(1)} ${units[power]}`;
}
