/**
 * Answers to `Watch.requestProgress` over etcd.
 *
 * etcd drops a progress request while the watch is still catching up, so it is sent again until it is answered. Before
 * 3.4.31 and 3.5.13 etcd may also answer with a revision whose events are still on their way (etcd issues 15220 and
 * 17507, the reason kube-apiserver asks for these versions). There an answer counts once no event has followed
 * it for a quiet time longer than etcd's own catch-up interval of 100 ms.
 */
export interface WatchProgressOptions {
  readonly exact: boolean;
  /** Sends one request; does nothing while there is no stream. */
  readonly send: () => void;
  readonly report: (revision: number) => void;
}

const resendMs = 100;
const quietMs = 250;

export class WatchProgress {
  readonly #options: WatchProgressOptions;
  #resendTimer: NodeJS.Timeout | undefined;
  #quietTimer: NodeJS.Timeout | undefined;
  #candidate = 0;

  constructor(options: WatchProgressOptions) {
    this.#options = options;
  }

  request(): void {
    this.#options.send();
    this.#resendTimer ??= setInterval(() => {
      this.#options.send();
    }, resendMs);
  }

  /** The watch stands on a new stream. */
  resume(): void {
    this.#dropCandidate();
    if (this.#resendTimer !== undefined) this.#options.send();
  }

  /** @param asked false when the answer is certain in every version: etcd's periodic notification, or our own reading */
  answered(revision: number, asked: boolean): void {
    if (this.#options.exact || !asked) {
      this.#stopAsking();
      this.#options.report(revision);
      return;
    }
    if (this.#quietTimer !== undefined) return;
    this.#candidate = revision;
    this.#stopAsking();
    this.#waitForQuiet();
  }

  /** Events of `revision` were reported. */
  events(revision: number): void {
    if (this.#quietTimer === undefined) return;
    this.#candidate = Math.max(this.#candidate, revision);
    clearTimeout(this.#quietTimer);
    this.#waitForQuiet();
  }

  stop(): void {
    this.#stopAsking();
    clearTimeout(this.#quietTimer);
    this.#quietTimer = undefined;
  }

  #waitForQuiet(): void {
    this.#quietTimer = setTimeout(() => {
      this.#quietTimer = undefined;
      this.#options.report(this.#candidate);
    }, quietMs);
  }

  #dropCandidate(): void {
    if (this.#quietTimer === undefined) return;
    clearTimeout(this.#quietTimer);
    this.#quietTimer = undefined;
    // It was asked for and not answered: ask the new stream.
    this.#resendTimer ??= setInterval(() => {
      this.#options.send();
    }, resendMs);
  }

  #stopAsking(): void {
    clearInterval(this.#resendTimer);
    this.#resendTimer = undefined;
  }
}
