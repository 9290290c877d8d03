/**
 * The errors of this package: one sentence each that says what to do.
 */

/**
 * - `source-unreadable`: a file or server cannot be opened or does not answer
 * - `source-damaged`: a file is cut short, altered, or not what it should be
 * - `config-invalid`: an EncryptionConfiguration or policy file cannot be used
 * - `state-invalid`: a checkpoint, ledger or state file is another run's, or damaged
 * - `interrupted`: stopped by the caller; what was done stays done
 * - `file-unwritable`: a file cannot be written: no space, no right
 * - `invalid-option`: options that do not go together
 */
export type OpsErrorCode =
  | 'source-unreadable'
  | 'source-damaged'
  | 'config-invalid'
  | 'state-invalid'
  | 'interrupted'
  | 'file-unwritable'
  | 'invalid-option';

export class OpsError extends Error {
  override readonly name = 'OpsError';
  readonly code: OpsErrorCode;

  constructor(code: OpsErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
