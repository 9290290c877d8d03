/**
 * Connections to the members of one etcd cluster.
 *
 * One gRPC channel per endpoint, one of them in use. A call that is safe to repeat goes on to another endpoint when a
 * member is lost or has no leader, until its time is up. A call that changes something is repeated only after an error
 * that proves it was not begun; otherwise its outcome is unknown and the error says so.
 */
import {
  connectivityState,
  credentials,
  Client,
  Metadata,
  type ChannelCredentials,
  type ClientDuplexStream,
  type ServiceError,
} from '@grpc/grpc-js';
import { AuthService, MaintenanceService } from '../gen/etcd/rpc.js';
import { StoreError } from '../store.js';
import { connectFailure, isTimeUp, type ConnectFailure } from './connect-failure.js';
import { parseEndpoint } from './endpoints.js';
import { classify, etcdErrors, isPermissionDenied, toStoreError } from './errors.js';
import type { EtcdLogger } from './logger.js';
import { unaryCall, type Rpc } from './unary-call.js';

export interface ConnectionOptions {
  /** Every member's client URL. */
  readonly endpoints: readonly string[];
  /** PEM. `ca` absent: the system's authorities. `cert` and `key`: the client certificate. */
  readonly tls?:
    | {
        readonly ca?: Buffer | undefined;
        readonly cert?: Buffer | undefined;
        readonly key?: Buffer | undefined;
      }
    | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** How long opening may take. */
  readonly dialTimeoutMs: number;
  /** How long one call may take, its repetitions on other endpoints included. */
  readonly requestTimeoutMs: number;
  readonly logger?: EtcdLogger | undefined;
}

/** `idempotent`: repeating it is harmless. `write`: it may change something. */
export type CallKind = 'idempotent' | 'write';

interface Member {
  readonly name: string;
  readonly tls: boolean;
  readonly client: Client;
}

/** A member that answers. */
export interface DialedMember {
  /** Undefined: the user may not know. */
  readonly version: string | undefined;
}

/** A member that accepts connections but does not answer is noticed after these two together. */
const keepaliveTimeMs = 10_000;
const keepaliveTimeoutMs = 5_000;
const NO_ANSWER: ConnectFailure = { text: 'no answer', isExplained: false, isFinal: false };
/** Between attempts when no endpoint is better than another. */
const retryDelayMs = 50;

export class EtcdConnection {
  readonly #members: readonly Member[];
  readonly #options: ConnectionOptions;
  readonly #writes = new Set<Promise<unknown>>();
  #closed = false;
  #current = 0;
  #token: string | undefined;
  /** Under way: many calls need the new token at once, and each password check costs etcd a tenth of a second. */
  readonly #authentications = new Map<Member, Promise<void>>();

  constructor(options: ConnectionOptions) {
    if (options.endpoints.length === 0) {
      throw new StoreError(
        'invalid-argument',
        'No etcd endpoint is given. Name at least one, as https://host:2379.',
      );
    }
    const tls = options.tls;
    if ((tls?.cert === undefined) !== (tls?.key === undefined)) {
      throw new StoreError(
        'invalid-argument',
        'An etcd client certificate needs both: the certificate and its key.',
      );
    }
    this.#options = options;
    this.#members = options.endpoints.map((text) => {
      const endpoint = parseEndpoint(text, tls !== undefined);
      return {
        name: endpoint.name,
        tls: endpoint.tls,
        client: new Client(endpoint.target, channelCredentials(endpoint.tls, options), {
          'grpc.keepalive_time_ms': keepaliveTimeMs,
          'grpc.keepalive_timeout_ms': keepaliveTimeoutMs,
          'grpc.initial_reconnect_backoff_ms': 100,
          'grpc.max_reconnect_backoff_ms': 2_000,
          'grpc.use_local_subchannel_pool': 1,
          'grpc.enable_retries': 0,
          'grpc.service_config_disable_resolution': 1,
          // A list is as large as the cluster's data; etcd itself puts no limit on it.
          'grpc.max_receive_message_length': -1,
          'grpc.max_send_message_length': -1,
          'grpc-node.flow_control_window': 4 * 1024 * 1024,
        }),
      };
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Waits for the first member that answers and knows a leader.
   * @throws StoreError `unavailable` naming every endpoint and what it said; `unauthenticated`
   */
  async dial(): Promise<DialedMember> {
    const deadline = Date.now() + this.#options.dialTimeoutMs;
    const said = this.#members.map((): ConnectFailure => NO_ANSWER);
    let answered = false;
    const attempts = this.#members.map(async (member, index) => {
      for (;;) {
        try {
          const answer = await this.#statusOf(member, deadline);
          if (answer.hasLeader) return { answer, index };
          said[index] = { ...NO_ANSWER, text: 'the member has no leader' };
        } catch (cause) {
          const error =
            cause instanceof StoreError ? cause : toStoreError(cause as ServiceError, member.name, false);
          if (error.code === 'unauthenticated') throw error;
          const failure = this.#failureOf(cause, member);
          // What was wrong before says more than that time is up now.
          if (said[index] === NO_ANSWER || !isTimeUp(failure.text)) said[index] = failure;
          if (failure.isFinal) throw new StoreError('unavailable', failure.text, { cause });
        }
        if (answered || Date.now() + retryDelayMs >= deadline)
          throw new StoreError('unavailable', (said[index] ?? NO_ANSWER).text);
        await delay(retryDelayMs);
      }
    });
    try {
      const { answer, index } = await Promise.any(attempts);
      answered = true;
      this.#current = index;
      return answer;
    } catch (cause) {
      const errors = cause instanceof AggregateError ? cause.errors : [cause];
      const refused = errors.find((e) => e instanceof StoreError && e.code === 'unauthenticated');
      if (refused instanceof StoreError) throw refused;
      throw this.#notConnected(said, cause);
    }
  }

  #notConnected(said: readonly ConnectFailure[], cause: unknown): StoreError {
    const list = this.#members.map(({ name }, i) => `${name}: ${said[i]?.text}`).join('; ');
    const within = said.every(({ isFinal }) => isFinal) ? '' : ` within ${this.#options.dialTimeoutMs} ms`;
    const advice = said.every(({ isExplained }) => isExplained)
      ? ''
      : ' Check that etcd runs there and that scheme, CA and client certificate are the right ones.';
    return new StoreError('unavailable', `No etcd endpoint answered${within} (${list}).${advice}`, { cause });
  }

  #failureOf(cause: unknown, { tls }: Member): ConnectFailure {
    if (cause instanceof StoreError) return { ...NO_ANSWER, text: cause.message };
    const { ca, cert } = this.#options.tls ?? {};
    const attempt = { tls, hasCa: ca !== undefined, hasClientCertificate: cert !== undefined };
    return connectFailure(cause as ServiceError, attempt);
  }

  /** @throws StoreError */
  unary<Request, Response>(
    rpc: Rpc<Request, Response>,
    request: Request,
    kind: CallKind,
    timeoutMs = this.#options.requestTimeoutMs,
  ): Promise<Response> {
    if (this.closed) return Promise.reject(closedError());
    const answer = this.#unary(rpc, request, kind, timeoutMs);
    if (kind === 'write') {
      this.#writes.add(answer);
      const forget = () => this.#writes.delete(answer);
      answer.then(forget, forget);
    }
    return answer;
  }

  async #unary<Request, Response>(
    rpc: Rpc<Request, Response>,
    request: Request,
    kind: CallKind,
    timeoutMs: number,
  ): Promise<Response> {
    const deadline = Date.now() + timeoutMs;
    let reauthenticated = false;
    for (;;) {
      const member = this.#readyMember() ?? (await this.#waitForMember(deadline));
      const attemptDeadline = this.#attemptDeadline(kind, timeoutMs, deadline);
      let token: string | undefined;
      let sent = false;
      try {
        await this.#haveToken(member, attemptDeadline);
        token = this.#token;
        sent = true;
        return await unaryCall(member.client, rpc, request, this.#metadata(), attemptDeadline);
      } catch (thrown) {
        const error = thrown as ServiceError;
        const { outcome, storeCode } = classify(error);
        const isHarmless = kind === 'idempotent' || !sent;
        const repeatable = outcome === 'refused' || (outcome === 'unknown' && isHarmless);
        if (outcome !== 'final') this.#leave(member);
        if (storeCode === 'unauthenticated' && outcome === 'refused') {
          // Another call may have a new token already.
          if (this.#token === token) this.#token = undefined;
          if (reauthenticated || this.#options.username === undefined)
            throw toStoreError(error, member.name, false);
          reauthenticated = true;
          continue;
        }
        if (this.closed) throw closedError(error);
        if (!repeatable || Date.now() + retryDelayMs >= deadline) {
          throw toStoreError(error, member.name, kind === 'write' && sent);
        }
        this.#options.logger?.warn(
          { endpoint: member.name, rpc: rpc.path, error: error.details },
          'etcd call repeated',
        );
        await delay(retryDelayMs);
      }
    }
  }

  /**
   * Opens a stream on a member that is connected.
   * @throws StoreError `unavailable` when none is within `timeoutMs`
   */
  async stream<Request, Response>(
    rpc: Rpc<Request, Response>,
    timeoutMs = this.#options.requestTimeoutMs,
  ): Promise<EtcdStream<Request, Response>> {
    const member = this.#readyMember() ?? (await this.#waitForMember(Date.now() + timeoutMs));
    try {
      await this.#haveToken(member, Date.now() + timeoutMs);
    } catch (error) {
      throw toStoreError(error as ServiceError, member.name, false);
    }
    if (this.closed) throw closedError();
    const token = this.#token;
    const call = member.client.makeBidiStreamRequest(
      rpc.path,
      rpc.requestSerialize,
      rpc.responseDeserialize,
      this.#metadata(),
    );
    return {
      call,
      endpoint: member.name,
      failed: (error) => {
        const { outcome, storeCode } = classify(error);
        if (outcome !== 'final') this.#leave(member);
        if (storeCode === 'unauthenticated' && this.#token === token) this.#token = undefined;
      },
    };
  }

  /** Waits for writes under way, then drops the connections. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.#closed = true;
    await Promise.allSettled(this.#writes);
    for (const member of this.#members) member.client.close();
  }

  /** With a password the token comes first: a wrong one shows when connecting, not at the first request. */
  async #statusOf(member: Member, deadline: number): Promise<DialedMember & { readonly hasLeader: boolean }> {
    await this.#haveToken(member, deadline);
    try {
      const status = await unaryCall(
        member.client,
        MaintenanceService.status,
        {},
        this.#metadata(),
        deadline,
      );
      return { version: status.version, hasLeader: status.leader !== 0n };
    } catch (error) {
      // Newer members tell their status to administrators alone; one without a leader refuses earlier (`hasleader`).
      if (!isPermissionDenied(error)) throw error;
      return { version: undefined, hasLeader: true };
    }
  }

  /** @throws ServiceError */
  async #haveToken(member: Member, deadline: number): Promise<void> {
    if (this.#options.username === undefined || this.#token !== undefined) return;
    let underWay = this.#authentications.get(member);
    if (underWay === undefined) {
      underWay = this.#authenticate(member, deadline).finally(() => this.#authentications.delete(member));
      this.#authentications.set(member, underWay);
    }
    await underWay;
  }

  async #authenticate(member: Member, deadline: number): Promise<void> {
    const request = { name: this.#options.username ?? '', password: this.#options.password ?? '' };
    try {
      const answer = await unaryCall(
        member.client,
        AuthService.authenticate,
        request,
        new Metadata(),
        deadline,
      );
      this.#token = answer.token;
    } catch (thrown) {
      if ((thrown as ServiceError).details !== etcdErrors.authNotEnabled.text) throw thrown;
      // The cluster asks nobody for a password; an empty token is not sent.
      this.#token = '';
    }
  }

  /** `hasleader` makes a member without a leader refuse at once instead of after its election timeouts. */
  #metadata(): Metadata {
    const metadata = new Metadata();
    metadata.set('hasleader', 'true');
    if (this.#token !== undefined && this.#token !== '') metadata.set('token', this.#token);
    return metadata;
  }

  /** An idempotent call leaves every member a share of its time, in case one stays silent. */
  #attemptDeadline(kind: CallKind, timeoutMs: number, deadline: number): number {
    if (kind === 'write') return deadline;
    return Math.min(deadline, Date.now() + timeoutMs / this.#members.length);
  }

  #readyMember(): Member | undefined {
    const member = this.#members[this.#current];
    if (member?.client.getChannel().getConnectivityState(true) === connectivityState.READY) return member;
    const ready = this.#members.findIndex(
      (m) => m.client.getChannel().getConnectivityState(true) === connectivityState.READY,
    );
    if (ready === -1) return undefined;
    this.#current = ready;
    return this.#members[ready];
  }

  async #waitForMember(deadline: number): Promise<Member> {
    const wait = new AbortController();
    try {
      await Promise.race(
        this.#members.map(async (member) => {
          while (!wait.signal.aborted && !this.closed && Date.now() < deadline) {
            if (member.client.getChannel().getConnectivityState(true) === connectivityState.READY) return;
            await stateChange(member.client, Math.min(deadline, Date.now() + 250));
          }
        }),
      );
    } catch (cause) {
      // A channel that is shut down throws when it is asked for its state.
      throw closedError(cause);
    } finally {
      wait.abort();
    }
    if (this.closed) throw closedError();
    const member = this.#readyMember();
    if (member !== undefined) return member;
    throw new StoreError(
      'unavailable',
      `No connection to etcd at ${this.#members.map((m) => m.name).join(', ')}; the request was not sent.`,
    );
  }

  /** The next call goes to another member, if there is one. */
  #leave(member: Member): void {
    if (this.#members[this.#current] === member) this.#current = (this.#current + 1) % this.#members.length;
  }
}

export interface EtcdStream<Request, Response> {
  readonly call: ClientDuplexStream<Request, Response>;
  readonly endpoint: string;
  /** To be told when the stream ended with an error, so that the next one goes elsewhere. */
  failed(error: Pick<ServiceError, 'code' | 'details'>): void;
}

export function closedError(cause?: unknown): StoreError {
  return new StoreError('closed', 'The etcd store is closed.', { cause });
}

export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

function channelCredentials(tls: boolean, options: ConnectionOptions): ChannelCredentials {
  if (!tls) return credentials.createInsecure();
  const { ca, cert, key } = options.tls ?? {};
  try {
    return credentials.createSsl(ca ?? null, key ?? null, cert ?? null);
  } catch (cause) {
    throw new StoreError(
      'invalid-argument',
      "etcd's CA, client certificate and key must be PEM, and the key must belong to the certificate.",
      { cause },
    );
  }
}

function stateChange(client: Client, deadline: number): Promise<void> {
  return new Promise((resolve) => {
    const channel = client.getChannel();
    channel.watchConnectivityState(channel.getConnectivityState(false), deadline, () => {
      resolve();
    });
  });
}
