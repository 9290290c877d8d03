/** Carries out the calls of a provider that is made of several keys: each key has its own limits, its own breaker, its own health. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Deadline } from './deadline.js';
import { ProviderError, toProviderError, unexpected } from './errors.js';
import { createKeyCalls, type BackendCall, type KeyCalls, type KeyCallsOptions } from './key-calls.js';
import type { MemberHost, Provider, ProviderMember } from './provider.js';

export interface MemberHostOptions extends Omit<KeyCallsOptions, 'guardName' | 'provider' | 'health'> {
  readonly provider: Provider;
  /** The primary's. A recipient or an old key that fails says nothing of it. */
  readonly health: KeyCallsOptions['health']['of'];
  /** For one call of one member. */
  readonly deadline: Deadline;
}

export interface GroupCalls {
  /** Runs a call of the group; its members know then who asked. @throws ProviderError */
  run<T>(call: BackendCall, group: () => Promise<T>): Promise<T>;
  forget(): void;
}

/** @returns undefined when the provider is one key */
export function attachMembers(options: MemberHostOptions): GroupCalls | undefined {
  const { provider, keySet, metrics, logger } = options;
  if (provider.members === undefined || provider.attach === undefined) return undefined;
  const callers = new AsyncLocalStorage<BackendCall>();
  const calls = new Map<ProviderMember, KeyCalls>();
  for (const member of provider.members) {
    const primary = member.role === 'primary';
    calls.set(
      member,
      createKeyCalls({
        ...options,
        provider: member.provider,
        guardName: primary ? keySet : `${keySet}/${member.name}`,
        health: { of: options.health, operations: primary ? ['encrypt', 'decrypt'] : [] },
      }),
    );
  }
  const told = new Set<string>();
  const host: MemberHost = {
    run: async (member, operation, signal, attempt) => {
      const own = calls.get(member);
      if (own === undefined) throw new ProviderError('a key of another group', unexpected);
      const labels = { key_set: keySet, recipient: member.name, role: member.role, operation };
      try {
        const probe = callers.getStore()?.probe === true;
        const value = await own.run(operation, { signal, probe }, options.deadline, attempt);
        metrics.recipients.operations.inc({ ...labels, result: 'ok' });
        return value;
      } catch (error) {
        const failed = toProviderError(error);
        metrics.recipients.operations.inc({ ...labels, result: failed.failure.class });
        throw failed;
      }
    },
    missing: (recipient, operation) => {
      // What the prober wraps is never stored.
      if (callers.getStore()?.probe === true) return;
      metrics.recipients.missing.inc({ key_set: keySet, recipient, operation });
      if (operation === 'encrypt') {
        logger.warn({ keySet, recipient }, 'a DEK source was not wrapped for this recipient');
      }
    },
    altered: (recipient) => {
      metrics.recipients.altered.inc({ key_set: keySet, recipient });
      if (told.has(recipient)) return;
      // Whoever changes values can make any number of them: told once, counted always.
      told.add(recipient);
      logger.warn({ keySet, recipient }, 'a value holds for this recipient what belongs to another value');
    },
  };
  provider.attach(host);
  return {
    run: (call, group) => callers.run(call, group),
    forget: () => {
      for (const each of calls.values()) each.forget();
    },
  };
}
