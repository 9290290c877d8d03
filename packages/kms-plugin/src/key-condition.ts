/**
 * What a key backend says about a key when asked, beyond whether it works right now: for warnings that come before the data
 * cannot be read any more.
 */

/**
 * - `usable`: wraps and unwraps
 * - `disabled`: neither, until somebody enables it
 * - `pending-deletion`: the backend will destroy it; `unreadableFromMs` says when
 * - `pending-import`: its material is missing and can be imported again
 * - `expired`: past the date the backend lets it be used
 * - `gone`: the backend does not know it (any more)
 */
export type KeyState = 'usable' | 'disabled' | 'pending-deletion' | 'pending-import' | 'expired' | 'gone';

export interface KeyCondition {
  readonly state: KeyState;
  /** From then on what it wrapped cannot be unwrapped, as far as the backend has set a date. Milliseconds since 1970. */
  readonly unreadableFromMs?: number;
  /** What an operator should know and is no failure yet, one safe sentence each, e.g. that the key may be deleted. */
  readonly warnings: readonly string[];
}
