/**
 * Durations as Go writes them: `3s`, `1m30s`, `1.5h`.
 *
 * Source of the rule: Go's `time.ParseDuration` and `Duration.String`, which `metav1.Duration` uses.
 */

const MS_PER_UNIT: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** A Go duration is an int64 of nanoseconds. */
const MAX_MS = 2 ** 63 / 1e6;

/** Milliseconds, or what is wrong in Go's words. */
export function parseDuration(text: string): { readonly ms: number } | { readonly problem: string } {
  const quoted = JSON.stringify(text);
  const sign = text.startsWith('-') ? -1 : 1;
  let rest = /^[-+]/.test(text) ? text.slice(1) : text;
  if (rest === '0') return { ms: 0 };
  if (rest === '') return { problem: `time: invalid duration ${quoted}` };
  let ms = 0;
  while (rest !== '') {
    const [matched, number = '', unit = ''] = /^(\d+\.?\d*|\.\d+)([^\d.]*)/.exec(rest) ?? [];
    if (matched === undefined) return { problem: `time: invalid duration ${quoted}` };
    if (unit === '') return { problem: `time: missing unit in duration ${quoted}` };
    const unitMs = Object.hasOwn(MS_PER_UNIT, unit) ? MS_PER_UNIT[unit] : undefined;
    if (unitMs === undefined) {
      return { problem: `time: unknown unit ${JSON.stringify(unit)} in duration ${quoted}` };
    }
    ms += Number(number) * unitMs;
    rest = rest.slice(matched.length);
  }
  return ms >= MAX_MS ? { problem: `time: invalid duration ${quoted}` } : { ms: sign * ms };
}

/** As Go prints it: `3s`, `1m30s`, `500ms`. */
export function formatDuration(ms: number): string {
  if (ms < 0) return `-${formatDuration(-ms)}`;
  if (ms === 0) return '0s';
  if (ms < 1e-3) return `${decimal(ms * 1e6)}ns`;
  if (ms < 1) return `${decimal(ms * 1e3)}µs`;
  if (ms < 1000) return `${decimal(ms)}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor((ms % 3_600_000) / 60_000);
  const seconds = `${decimal((ms % 60_000) / 1000)}s`;
  if (hours > 0) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${minutes}m${seconds}` : seconds;
}

/** Without the noise of binary fractions: nanoseconds are the finest a duration has. */
function decimal(value: number): string {
  return String(Number(value.toFixed(9)));
}
