/**
 * Tells systemd how far the process is (sd_notify(3)).
 *
 * The socket that NOTIFY_SOCKET names takes datagrams, which Node cannot send over unix sockets; the program `systemd-notify` does it. Units
 * need NotifyAccess=all, for it is another process that speaks. Without NOTIFY_SOCKET, and so with Type=exec, nothing is done.
 */
import { execFile } from 'node:child_process';
import type { Logger } from '@waxseal/kms-plugin';

type SystemdState = 'ready' | 'reloading' | 'stopping';

const timeoutMs = 2000;

/** Never rejects: the plugin serves whether or not systemd hears of it. */
export function notifySystemd(
  state: SystemdState,
  logger: Pick<Logger, 'warn'>,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<void> {
  if (!environment['NOTIFY_SOCKET']) return Promise.resolve();
  const monotonicUs = String(process.hrtime.bigint() / 1000n);
  const message: Readonly<Record<SystemdState, readonly string[]>> = {
    ready: ['READY=1'],
    // Type=notify-reload wants to know when the reload began, on the clock that hrtime reads.
    reloading: ['RELOADING=1', `MONOTONIC_USEC=${monotonicUs}`],
    stopping: ['STOPPING=1'],
  };
  return new Promise((resolve) => {
    execFile('systemd-notify', message[state], { env: environment, timeout: timeoutMs }, (error) => {
      if (error !== null) {
        logger.warn(
          { state, code: error.code },
          'systemd was not told; install systemd-notify, or use Type=exec',
        );
      }
      resolve();
    });
  });
}
