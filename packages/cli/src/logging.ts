/** One logger for the whole process: JSON lines on standard error, so that standard output stays the command's answer. */
import { destination, pino, type Logger } from 'pino';
import type { LogLevel } from './options.js';

export function createLogger(level: LogLevel): Logger {
  return pino({ level, base: null, timestamp: pinoTime }, destination({ fd: 2, sync: true }));
}

const pinoTime = (): string => `,"time":"${new Date().toISOString()}"`;
