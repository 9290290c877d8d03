/** One call of one key of a group, told to whoever watches. */
import { toProviderError } from '../errors.js';
import type { Operation } from '../key-health.js';
import type { MemberObserver, ProviderMember } from '../provider.js';

/** @throws ProviderError */
export async function observedCall<T>(
  observer: MemberObserver,
  member: ProviderMember,
  operation: Operation,
  call: () => Promise<T>,
): Promise<T> {
  try {
    const value = await call();
    observer.ended(member, operation, undefined);
    return value;
  } catch (error) {
    const failed = toProviderError(error);
    observer.ended(member, operation, failed);
    throw failed;
  }
}
