/**
 * Where values come from that hold no object to say so. Two places can be tried: where the same bytes lie as well (they were copied), and the
 * places of the others that do not open (they changed places).
 */
import { EnvelopeError } from '@waxseal/envelope';
import type { Source } from '../sources/source.js';
import type { Subject } from './diagnose.js';

const VALUES_MAX = 64;
const VALUES_MAX_BYTES = 16 * 1024 * 1024;
/** Where DEKs are not kept in memory each try of KMS v1 is a call. */
const KMS_V1_TRIES_MAX = 8;

export interface Strays {
  /** A value under which no configured key was seen to fit. */
  add(subject: Subject, order: number): void;
  /** By the order of the value: the storage key it opens under. Reads the source again when there is a value to look for. */
  places(source: Source, prefix: Buffer): Promise<ReadonlyMap<number, string>>;
}

interface Stray {
  readonly subject: Subject;
  readonly order: number;
  tries: number;
}

export function createStrays(): Strays {
  const strays: Stray[] = [];
  let bytes = 0;
  return {
    add(subject, order) {
      const { provider } = subject.kind;
      if (provider !== 'aesgcm' && !provider.startsWith('kms')) return;
      bytes += subject.value.length;
      if (strays.length < VALUES_MAX && bytes <= VALUES_MAX_BYTES) strays.push({ subject, order, tries: 0 });
    },
    async places(source, prefix) {
      const found = new Map<number, string>();
      const tryAt = async (stray: Stray, key: string): Promise<void> => {
        const { subject, order } = stray;
        if (key === subject.key || found.has(order)) return;
        if (subject.kind.provider === 'kms-v1' && stray.tries++ >= KMS_V1_TRIES_MAX) return;
        if (await opensAt(subject, key)) found.set(order, key);
      };
      if (strays.length === 0) return found;
      for await (const { key, value } of source.live(prefix)) {
        for (const stray of strays)
          if (stray.subject.value.equals(value)) await tryAt(stray, key.toString('utf8'));
      }
      for (const stray of strays) for (const other of strays) await tryAt(stray, other.subject.key);
      return found;
    },
  };
}

async function opensAt({ transformer, value }: Subject, key: string): Promise<boolean> {
  try {
    const { data } = await transformer.transformFromStorage(value, Buffer.from(key));
    data.fill(0);
    return true;
  } catch (error) {
    if (!(error instanceof EnvelopeError)) throw error;
    return false;
  }
}
