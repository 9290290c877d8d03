/** Objects of a token: found by their attributes, and read. PKCS#11 2.40 §4, §5.7. */
import { CK_UNAVAILABLE_INFORMATION, CKA, type CkaName, CKK, CKO, CKR } from './constants.js';
import type { Cryptoki } from './cryptoki.js';
import { Pkcs11Error } from './errors.js';
import { readUlong, type Template, ULONG_BYTES } from './native-memory.js';
import { errorOf } from './return-values.js';
import type { Session } from './session-pool.js';
import type { KeyClass, KeySearch, KeyType, TokenKey } from './token.js';

const FIND_BATCH = 64;
const MAX_FOUND = 100_000;
const MAX_ATTRIBUTE_BYTES = 64 * 1024;
const ATTRIBUTE_BYTES = 3 * ULONG_BYTES;

export interface FoundKey {
  readonly handle: number;
  readonly key: TokenKey;
}

async function findHandles(
  cryptoki: Cryptoki,
  { handle }: Session,
  template: Template,
): Promise<readonly number[]> {
  return cryptoki.withMemory(async (memory) => {
    await cryptoki.checked('C_FindObjectsInit', handle, memory.template(template), template.length);
    const found: number[] = [];
    try {
      const objects = memory.reserve(FIND_BATCH * ULONG_BYTES);
      const count = memory.reserve(ULONG_BYTES);
      while (found.length < MAX_FOUND) {
        const wanted = Math.min(FIND_BATCH, MAX_FOUND - found.length);
        await cryptoki.checked('C_FindObjects', handle, objects, wanted, count);
        const given = Math.min(readUlong(count) ?? 0, wanted);
        if (given === 0) break;
        for (let index = 0; index < given; index++) {
          const object = readUlong(objects, index * ULONG_BYTES);
          if (object !== undefined) found.push(object);
        }
      }
      return found;
    } finally {
      await cryptoki.call('C_FindObjectsFinal', handle);
    }
  });
}

/** The values of those attributes that the object has and shows. */
export async function readAttributes(
  cryptoki: Cryptoki,
  { handle }: Session,
  object: number,
  names: readonly CkaName[],
): Promise<ReadonlyMap<CkaName, Buffer>> {
  return cryptoki.withMemory(async (memory) => {
    const lengths = memory.template(names.map((name) => [name, Buffer.alloc(0)]));
    const rv = await cryptoki.call('C_GetAttributeValue', handle, object, lengths, names.length);
    // Some attributes missing is no failure: their length says so (§5.7.5).
    if (
      rv !== CKR.CKR_OK &&
      rv !== CKR.CKR_ATTRIBUTE_TYPE_INVALID &&
      rv !== CKR.CKR_ATTRIBUTE_SENSITIVE &&
      rv !== CKR.CKR_BUFFER_TOO_SMALL
    ) {
      throw errorOf(rv, 'C_GetAttributeValue');
    }
    const wanted: { readonly name: CkaName; readonly value: Buffer }[] = [];
    names.forEach((name, index) => {
      const length = lengths.readBigUInt64LE(index * ATTRIBUTE_BYTES + 2 * ULONG_BYTES);
      if (length === CK_UNAVAILABLE_INFORMATION || length > BigInt(MAX_ATTRIBUTE_BYTES)) return;
      wanted.push({ name, value: memory.reserve(Number(length)) });
    });
    if (wanted.length === 0) return new Map();
    const values = memory.struct(
      ...wanted.flatMap(({ name, value }) => [CKA[name], memory.pointer(value), value.length]),
    );
    await cryptoki.checked('C_GetAttributeValue', handle, object, values, wanted.length);
    return new Map(
      wanted.map(({ name, value }, index) => {
        const length = values.readBigUInt64LE(index * ATTRIBUTE_BYTES + 2 * ULONG_BYTES);
        const bytes = length < BigInt(value.length) ? Number(length) : value.length;
        return [name, Buffer.from(value.subarray(0, bytes))] as const;
      }),
    );
  });
}

/** Keys, with the handles they have now. */
export async function findKeyObjects(
  cryptoki: Cryptoki,
  session: Session,
  search: KeySearch,
): Promise<readonly FoundKey[]> {
  const handles = await findHandles(cryptoki, session, searchTemplate(search));
  const found: FoundKey[] = [];
  for (const handle of handles) {
    const key = await readKey(cryptoki, session, handle).catch((error: unknown) => {
      // Destroyed by somebody else between the search and now.
      if (error instanceof Pkcs11Error && error.code === 'key-not-found') return undefined;
      throw error;
    });
    if (key !== undefined) found.push({ handle, key });
  }
  return found;
}

function searchTemplate({ keyClass, keyType, label, id }: KeySearch): Template {
  return [
    ...(keyClass === undefined ? [] : [['CKA_CLASS', CKO[keyClass]] as const]),
    ...(keyType === undefined ? [] : [['CKA_KEY_TYPE', CKK[keyType]] as const]),
    ...(label === undefined ? [] : [['CKA_LABEL', label] as const]),
    ...(id === undefined || id.length === 0 ? [] : [['CKA_ID', id] as const]),
  ];
}

/** Undefined for an object that is no key: data, a certificate. */
async function readKey(cryptoki: Cryptoki, session: Session, handle: number): Promise<TokenKey | undefined> {
  const attributes = await readAttributes(cryptoki, session, handle, [
    'CKA_CLASS',
    'CKA_KEY_TYPE',
    'CKA_LABEL',
    'CKA_ID',
  ]);
  const keyClass = nameOf<KeyClass>(CKO, numberOf(attributes.get('CKA_CLASS')));
  if (keyClass === undefined) return undefined;
  return {
    keyClass,
    keyType: nameOf<KeyType>(CKK, numberOf(attributes.get('CKA_KEY_TYPE'))) ?? 'other',
    label: attributes.get('CKA_LABEL')?.toString('utf8') ?? '',
    id: attributes.get('CKA_ID') ?? Buffer.alloc(0),
  };
}

function nameOf<Name extends string>(
  table: Readonly<Partial<Record<Name, number>>>,
  value: number | undefined,
): Name | undefined {
  for (const name in table) if (table[name] === value && value !== undefined) return name;
  return undefined;
}

export function numberOf(value: Buffer | undefined): number | undefined {
  return value?.length === ULONG_BYTES ? readUlong(value) : undefined;
}
