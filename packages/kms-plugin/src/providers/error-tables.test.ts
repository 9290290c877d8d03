/**
 * Every provider's error table, as data. Goal: a class always answers the same kinds of codes, and advice is a sentence that
 * can be shown to anybody. Method: each `*-errors` module of this folder is loaded, and every failure in its exports looked at, so
 * that a new provider is covered without being named here.
 */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { test } from 'node:test';
import { grpcStatusOf } from '@waxseal/kms-api';
import * as ownErrors from '../errors.js';
import type { Failure, FailureClass } from '../errors.js';

const codes: Readonly<Record<FailureClass, readonly string[]>> = {
  'user-induced': ['failed_precondition', 'invalid_argument'],
  denied: ['permission_denied', 'unauthenticated'],
  throttled: ['resource_exhausted'],
  unavailable: ['unavailable', 'deadline_exceeded'],
  corrupt: ['invalid_argument', 'failed_precondition'],
  cancelled: ['cancelled', 'deadline_exceeded'],
  internal: ['internal'],
};

/** Names that mean the same whoever meets them. */
const everywhere: Readonly<Record<string, FailureClass>> = {
  ECONNREFUSED: 'unavailable',
  ECONNRESET: 'unavailable',
  EPIPE: 'unavailable',
  ETIMEDOUT: 'unavailable',
  EHOSTUNREACH: 'unavailable',
  ENETUNREACH: 'unavailable',
  ENOTFOUND: 'unavailable',
  EAI_AGAIN: 'unavailable',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'unavailable',
  SELF_SIGNED_CERT_IN_CHAIN: 'unavailable',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'unavailable',
  ERR_TLS_CERT_ALTNAME_INVALID: 'unavailable',
  CERT_HAS_EXPIRED: 'unavailable',
  AbortError: 'cancelled',
};

/** One row: where it stands, and what it says. */
interface Row {
  readonly table: string;
  readonly name: string;
  readonly failure: Failure;
}

function isFailure(value: unknown): value is Failure {
  return typeof value === 'object' && value !== null && 'class' in value && 'advice' in value;
}

/** The failures in an export, however deep its tables lie in each other. */
function rowsOf(table: string, name: string, value: unknown): readonly Row[] {
  if (isFailure(value)) return [{ table, name, failure: value }];
  if (value instanceof Map)
    return [...value].flatMap(([key, entry]: [unknown, unknown]) => rowsOf(table, String(key), entry));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, entry]) => rowsOf(table, key, entry));
}

async function allRows(): Promise<ReadonlyMap<string, readonly Row[]>> {
  const files = (await readdir(new URL('.', import.meta.url))).filter((file) => file.endsWith('-errors.js'));
  const tables = new Map<string, readonly Row[]>([['errors.js', rowsOf('errors.js', '', { ...ownErrors })]]);
  for (const file of files) {
    const exported = (await import(new URL(file, import.meta.url).href)) as object;
    tables.set(file, rowsOf(file, '', { ...exported }));
  }
  return tables;
}

test('every provider that has a backend has a table, and no table is empty', async () => {
  const tables = await allRows();
  for (const provider of ['aws', 'azure', 'gcp', 'pkcs11', 'vault'])
    assert.ok(tables.has(`${provider}-errors.js`), provider);
  for (const [file, rows] of tables) assert.ok(rows.length >= 5, file);
});

test('each class answers the codes that fit it', async () => {
  for (const { table, name, failure } of [...(await allRows()).values()].flat()) {
    assert.ok(
      codes[failure.class].includes(failure.code),
      `${table} ${name}: ${failure.class} answers ${failure.code}`,
    );
    assert.ok(grpcStatusOf(failure.code) > 0);
  }
});

test('advice is one or two whole sentences, and nothing that must not be shown', async () => {
  for (const { table, name, failure } of [...(await allRows()).values()].flat()) {
    assert.match(failure.advice, /^[A-Z][^\n]{10,240}\.$/, `${table} ${name}`);
    assert.doesNotMatch(
      failure.advice,
      /\$\{|undefined|\[object|-----BEGIN|AKIA[0-9A-Z]{12}|hvs\.|eyJ[A-Za-z0-9]/,
      `${table} ${name}`,
    );
  }
});

test('what happens on the way to any backend is of the same class everywhere', async () => {
  const met = [...(await allRows()).values()].flat().filter(({ name }) => Object.hasOwn(everywhere, name));
  assert.ok(met.length > 20);
  for (const { table, name, failure } of met)
    assert.equal(failure.class, everywhere[name], `${table} ${name}`);
});
