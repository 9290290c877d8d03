/**
 * Times and durations as Go writes them in JSON: RFC 3339 in UTC, and `1h2m3.5s`.
 *
 * Source of the rules: RFC 3339 §5.6, Go's `time.Duration.String`, and k8s.io/apimachinery `meta/v1` Time (seconds)
 * and MicroTime (microseconds).
 */

/** 0001-01-01T00:00:00Z: Go's zero time, which JSON shows as null. */
export const zeroTimeSeconds = -62_135_596_800;
/** 9999-12-31T23:59:59Z: what RFC 3339 can say. */
const maxTimeSeconds = 253_402_300_799;

export interface Instant {
  /** Since 1970-01-01T00:00:00Z. */
  readonly seconds: number;
  /** 0..999,999,999, counting forward in time. */
  readonly nanos: number;
}

const rfc3339 = /^(\d{4})-(\d{2})-(\d{2})T(\d{1,2}):(\d{2}):(\d{2})(?:[.,](\d+))?(Z|[+-]\d{2}:\d{2})$/;

/** Undefined when the text is no RFC 3339 time, or names a day that does not exist. */
export function parseRfc3339(text: string): Instant | undefined {
  const match = rfc3339.exec(text);
  if (match === null) return undefined;
  const number = (index: number): number => Number(match[index] ?? '0');
  const [year, month, day] = [number(1), number(2), number(3)];
  const [hour, minute, second] = [number(4), number(5), number(6)];
  if (month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCDate() !== day) return undefined;
  const zone = match[8] ?? 'Z';
  const zoneHours = zone === 'Z' ? 0 : Number(zone.slice(1, 3));
  const zoneMinutes = zone === 'Z' ? 0 : Number(zone.slice(4, 6));
  if (zoneHours > 24 || zoneMinutes > 59) return undefined;
  const offset = (zone.startsWith('-') ? -1 : 1) * (zoneHours * 3600 + zoneMinutes * 60);
  const seconds = date.getTime() / 1000 + hour * 3600 + minute * 60 + second - offset;
  return { seconds, nanos: Number((match[7] ?? '').slice(0, 9).padEnd(9, '0')) };
}

/** MicroTime reads six digits of a second, no more and no fewer. */
export function hasMicros(text: string): boolean {
  return /:\d{2}\.\d{6}(?:Z|[+-]\d{2}:\d{2})$/.test(text);
}

/** Whether the seconds lie in the years 1 to 9999. */
export function isRepresentableTime(seconds: number): boolean {
  return seconds >= zeroTimeSeconds && seconds <= maxTimeSeconds;
}

/** `2006-01-02T15:04:05Z` */
export function formatSeconds(seconds: number): string {
  const iso = new Date(seconds * 1000).toISOString();
  return `${iso.slice(0, 19)}Z`;
}

/** `2006-01-02T15:04:05.000000Z` */
export function formatMicros(instant: Instant): string {
  const micros = Math.trunc(instant.nanos / 1000);
  return `${formatSeconds(instant.seconds).slice(0, 19)}.${String(micros).padStart(6, '0')}Z`;
}

const durationUnits: ReadonlyMap<string, bigint> = new Map([
  ['ns', 1n],
  ['us', 1_000n],
  ['µs', 1_000n],
  ['μs', 1_000n],
  ['ms', 1_000_000n],
  ['s', 1_000_000_000n],
  ['m', 60_000_000_000n],
  ['h', 3_600_000_000_000n],
]);
const maxDuration = 1n << 63n;
const maxDurationLength = 100;

/** Nanoseconds; undefined when the text is no Go duration or does not fit 64 bits. */
export function parseDuration(text: string): bigint | undefined {
  if (text === '0' || text === '+0' || text === '-0') return 0n;
  if (text.length > maxDurationLength) return undefined;
  const match = /^([+-]?)((?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.exec(text);
  if (match === null) return undefined;
  let total = 0n;
  for (const [, integer = '', fraction = '', unit = ''] of text.matchAll(
    /(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/g,
  )) {
    const scale = durationUnits.get(unit) ?? 1n;
    total += BigInt(integer === '' ? '0' : integer) * scale;
    total += (BigInt(fraction === '' ? '0' : fraction) * scale) / 10n ** BigInt(fraction.length);
  }
  if (match[1] === '-') total = -total;
  return total >= maxDuration || total < -maxDuration ? undefined : total;
}

function trimFraction(whole: bigint, rest: bigint, digits: number): string {
  const fraction = rest.toString().padStart(digits, '0').replace(/0+$/, '');
  return fraction === '' ? `${whole}` : `${whole}.${fraction}`;
}

/** @param nanos any signed 64-bit count of nanoseconds */
export function formatDuration(nanos: bigint): string {
  if (nanos === 0n) return '0s';
  const sign = nanos < 0n ? '-' : '';
  const size = nanos < 0n ? -nanos : nanos;
  if (size < 1_000n) return `${sign}${size}ns`;
  if (size < 1_000_000n) return `${sign}${trimFraction(size / 1_000n, size % 1_000n, 3)}µs`;
  if (size < 1_000_000_000n) return `${sign}${trimFraction(size / 1_000_000n, size % 1_000_000n, 6)}ms`;
  const seconds = size / 1_000_000_000n;
  const tail = `${trimFraction(seconds % 60n, size % 1_000_000_000n, 9)}s`;
  const minutes = seconds / 60n;
  if (minutes === 0n) return `${sign}${tail}`;
  const hours = minutes / 60n;
  return hours === 0n ? `${sign}${minutes}m${tail}` : `${sign}${hours}h${minutes % 60n}m${tail}`;
}
