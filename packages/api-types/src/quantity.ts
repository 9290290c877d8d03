/**
 * Kubernetes quantities (`500m`, `1Gi`, `12e6`): parsing and the canonical form a Go server writes.
 *
 * Source of the rules: k8s.io/apimachinery `api/resource`: no fractional digits, the largest suffix that keeps the
 * number whole, a resolution of 10⁻⁹ rounded up, binary values capped at 2⁶³-1.
 */

export type QuantityProblem = 'format' | 'numeric' | 'suffix';

/** Undigested quantities end here: exponents beyond this would cost memory and mean nothing. */
const maxExponent = 1000;

/** No amount of anything needs more digits. */
const maxLength = 200;

/** Digits may be missing: the reference reads `M` as nought. */
const pattern = /^([+-]?)(\d*)(?:\.(\d*))?([eEinumkKMGTP]*[+-]?\d*)$/;

type Format = 'decimalSi' | 'binarySi' | 'decimalExponent';

const decimalSuffixes: readonly (readonly [string, number])[] = [
  ['n', -9],
  ['u', -6],
  ['m', -3],
  ['', 0],
  ['k', 3],
  ['M', 6],
  ['G', 9],
  ['T', 12],
  ['P', 15],
  ['E', 18],
];
const binarySuffixes: readonly (readonly [string, number])[] = [
  ['Ki', 10],
  ['Mi', 20],
  ['Gi', 30],
  ['Ti', 40],
  ['Pi', 50],
  ['Ei', 60],
];

interface Suffix {
  readonly format: Format;
  readonly exponent: number;
}

function parseSuffix(text: string): Suffix | undefined {
  const decimal = decimalSuffixes.find(([suffix]) => suffix === text);
  if (decimal) return { format: 'decimalSi', exponent: decimal[1] };
  const binary = binarySuffixes.find(([suffix]) => suffix === text);
  if (binary) return { format: 'binarySi', exponent: binary[1] };
  if (!/^[eE][+-]?\d+$/.test(text)) return undefined;
  const exponent = Number(text.slice(1));
  return Math.abs(exponent) > maxExponent ? undefined : { format: 'decimalExponent', exponent };
}

const maxInt64 = (1n << 63n) - 1n;
/** Digits an int64 surely holds: the reference keeps a number of up to so many digits unrounded, and often as written. */
const maxInt64Digits = 18;

/** `{ canonical }` as a Go server writes it, or what is wrong. */
export function canonicalQuantity(text: string): { canonical: string } | { problem: QuantityProblem } {
  if (text === '0') return { canonical: '0' };
  if (text === '' || text.length > maxLength) return { problem: 'format' };
  const match = pattern.exec(text);
  if (match === null) return { problem: 'format' };
  const [, sign = '', rawInteger = '', fraction = '', suffixText = ''] = match;
  const suffix = parseSuffix(suffixText);
  if (suffix === undefined) return { problem: 'suffix' };
  const integer = rawInteger.replace(/^0+/, '') || '0';
  const kept = asWritten(integer, fraction, suffix);
  if (kept) return { canonical: text };
  const { digits, exponent } = toDecimal(integer + fraction, -fraction.length, suffix);
  const { value, scale } = capBinary(roundUpToNano(digits, exponent), suffix);
  if (value === 0n) return { canonical: '0' };
  const negative = sign === '-';
  const magnitude = format(value, scale, suffix);
  return { canonical: negative ? `-${magnitude}` : magnitude };
}

/** The reference keeps the text of a number that is canonical already, or close enough for its quick test. */
function asWritten(integer: string, fraction: string, suffix: Suffix): boolean {
  const shifted = integer + fraction;
  if (suffix.format === 'binarySi') {
    const precision = 15 - integer.length - Math.trunc((suffix.exponent * 3) / 10) - 1;
    return fraction === '' && precision >= 0 && (Number(shifted) & 7) !== 0;
  }
  const scale = suffix.exponent - fraction.length;
  const precision = maxInt64Digits - integer.length - fraction.length;
  return (
    precision >= 0 && scale >= -9 && scale % 3 === 0 && !shifted.endsWith('000') && !shifted.startsWith('0')
  );
}

function toDecimal(digits: string, scale: number, suffix: Suffix): { digits: bigint; exponent: number } {
  const value = BigInt(digits);
  if (suffix.format === 'binarySi') return { digits: value << BigInt(suffix.exponent), exponent: scale };
  return { digits: value, exponent: scale + suffix.exponent };
}

interface Amount {
  readonly value: bigint;
  /** Power of ten. */
  readonly scale: number;
}

function roundUpToNano(digits: bigint, exponent: number): Amount {
  if (exponent >= -9) return { value: digits, scale: exponent };
  const divisor = 10n ** BigInt(-9 - exponent);
  return { value: (digits + divisor - 1n) / divisor, scale: -9 };
}

/** Binary quantities end at 2⁶³-1. */
function capBinary(amount: Amount, suffix: Suffix): Amount {
  if (suffix.format !== 'binarySi') return amount;
  const limit = amount.scale < 0 ? maxInt64 * 10n ** BigInt(-amount.scale) : maxInt64;
  return amount.value > limit ? { value: maxInt64, scale: 0 } : amount;
}

function format(value: bigint, scale: number, suffix: Suffix): string {
  if (suffix.format === 'binarySi') {
    const binary = formatBinary(value, scale);
    if (binary !== undefined) return binary;
  }
  let mantissa = value;
  let exponent = scale;
  while (mantissa % 10n === 0n) {
    mantissa /= 10n;
    exponent++;
  }
  // Suffixes stand for multiples of three.
  const excess = ((exponent % 3) + 3) % 3;
  mantissa *= 10n ** BigInt(excess);
  exponent -= excess;
  if (suffix.format === 'decimalExponent') return exponent === 0 ? `${mantissa}` : `${mantissa}e${exponent}`;
  const name = decimalSuffixes.find(([, e]) => e === exponent);
  return `${mantissa}${name === undefined ? '' : name[0]}`;
}

/** Undefined when base 1024 would round or the value is small: the decimal form is used then. */
function formatBinary(value: bigint, scale: number): string | undefined {
  if (scale < 0 && value % 10n ** BigInt(-scale) !== 0n) return undefined;
  const whole = scale < 0 ? value / 10n ** BigInt(-scale) : value * 10n ** BigInt(scale);
  if (whole < 1024n) return undefined;
  let mantissa = whole;
  let exponent = 0;
  while (mantissa % 1024n === 0n) {
    mantissa /= 1024n;
    exponent += 10;
  }
  const name = binarySuffixes.find(([, e]) => e === exponent);
  return `${mantissa}${name === undefined ? '' : name[0]}`;
}
