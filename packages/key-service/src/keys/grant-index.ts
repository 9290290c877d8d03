/** Grants in memory, found by key, by key and grantee (the hot path of a decision), and by retiring principal. */
import type { GrantRecord } from './grant-record.js';
import type { KeyRecord } from './key-record.js';

type KeyName = Pick<KeyRecord, 'accountId' | 'region' | 'keyId'>;
type Grants = Map<string, GrantRecord>;

const NO_GRANTS: ReadonlyMap<string, GrantRecord> = new Map();

export class GrantIndex {
  readonly #byKey = new Map<string, Grants>();
  readonly #byGrantee = new Map<string, Grants>();
  readonly #byRetiring = new Map<string, Grants>();

  add(grant: GrantRecord): void {
    for (const [index, name] of this.namesOf(grant)) {
      let grants = index.get(name);
      if (grants === undefined) index.set(name, (grants = new Map()));
      grants.set(grant.grantId, grant);
    }
  }

  delete(grant: GrantRecord): void {
    for (const [index, name] of this.namesOf(grant)) {
      const grants = index.get(name);
      grants?.delete(grant.grantId);
      if (grants?.size === 0) index.delete(name);
    }
  }

  /** By grant id, oldest known first. */
  ofKey(key: KeyName): ReadonlyMap<string, GrantRecord> {
    return this.#byKey.get(keyName(key)) ?? NO_GRANTS;
  }

  ofGrantee(key: KeyName, granteePrincipal: string): Iterable<GrantRecord> {
    return (this.#byGrantee.get(`${keyName(key)} ${granteePrincipal}`) ?? NO_GRANTS).values();
  }

  /** In one region, on keys of any account. */
  ofRetiringPrincipal(region: string, retiringPrincipal: string): Iterable<GrantRecord> {
    return (this.#byRetiring.get(`${region} ${retiringPrincipal}`) ?? NO_GRANTS).values();
  }

  private *namesOf(grant: GrantRecord): Iterable<readonly [Map<string, Grants>, string]> {
    const { granteePrincipal, retiringPrincipal, region } = grant;
    yield [this.#byKey, keyName(grant)];
    if (granteePrincipal !== undefined) yield [this.#byGrantee, `${keyName(grant)} ${granteePrincipal}`];
    if (retiringPrincipal !== undefined) yield [this.#byRetiring, `${region} ${retiringPrincipal}`];
  }
}

function keyName({ accountId, region, keyId }: KeyName): string {
  return `${accountId}/${region}/${keyId}`;
}
