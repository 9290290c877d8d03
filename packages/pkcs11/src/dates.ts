/** CK_DATE: a day as eight digits, YYYYMMDD; empty when there is none. PKCS#11 2.40 §3.4, read as UTC. */

/** Midnight of the day; undefined for none, and for what is no date. */
export function parseCkDate(bytes: Buffer | undefined): Date | undefined {
  const [, year, month, day] = /^(\d{4})(\d\d)(\d\d)$/.exec(bytes?.toString('latin1') ?? '') ?? [];
  if (year === undefined) return undefined;
  const date = new Date(`${year}-${month}-${day}T00:00:00Z`);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

export function renderCkDate(date: Date): Buffer {
  return Buffer.from(date.toISOString().slice(0, 10).replaceAll('-', ''), 'latin1');
}
