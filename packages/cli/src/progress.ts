/**
 * How far large work has come, on standard error: a bar on a terminal, JSON lines with --output json, nothing when neither is asked for.
 * Standard output stays the answer's.
 */
import type { OutputFormat } from './options.js';

interface ProgressReport {
  /** What is being done, one word: a new one begins a new bar. */
  readonly phase: string;
  readonly done: number;
  readonly total: number;
  readonly etaMs?: number | undefined;
  /** Further counts, shown by name. */
  readonly counts?: Readonly<Record<string, number>>;
}

export interface ProgressView {
  report(progress: ProgressReport): void;
  /** Takes the bar away; call it before anything else is printed. */
  end(): void;
}

/** Lines of JSON are for programs: one a second is enough. */
const LINE_EVERY_MS = 1000;

export async function openProgress(output: OutputFormat, stream = process.stderr): Promise<ProgressView> {
  if (output === 'json') return jsonLines(stream);
  if (!stream.isTTY) return { report: () => undefined, end: () => undefined };
  const { SingleBar, Presets } = (await import('cli-progress')).default;
  const bar = new SingleBar(
    {
      stream,
      format: '{phase} {bar} {percentage}% {value}/{total} {counts}{left}',
      hideCursor: true,
      clearOnComplete: true,
    },
    Presets.shades_classic,
  );
  let shown: string | undefined;
  return {
    report({ phase, done, total, etaMs, counts = {} }) {
      const words = Object.entries(counts).map(([name, count]) => `${count} ${name} `);
      const left = etaMs === undefined ? '' : `${duration(etaMs)} left`;
      const payload = { phase, counts: words.join(''), left };
      if (shown !== phase) bar.start(total, done, payload);
      shown = phase;
      bar.setTotal(total);
      bar.update(done, payload);
    },
    end: () => bar.stop(),
  };
}

function jsonLines(stream: NodeJS.WritableStream): ProgressView {
  let shown: string | undefined;
  let lastMs = 0;
  return {
    report({ phase, done, total, etaMs, counts }) {
      const nowMs = performance.now();
      if (phase === shown && done < total && nowMs - lastMs < LINE_EVERY_MS) return;
      [shown, lastMs] = [phase, nowMs];
      stream.write(`${JSON.stringify({ phase, done, total, etaMs, ...counts })}\n`);
    },
    end: () => undefined,
  };
}

function duration(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
