/**
 * What AWS charges for the same: $1 for a key and month, by the hour, and $0.03 for 10,000 requests beyond 20,000 a month.
 *
 * Source of the rule: AWS KMS pricing. Not counted: rotated key material ($1 each for the first and second rotation) and the
 * higher prices of requests with asymmetric keys.
 */
export const KEY_USD_PER_MONTH = 1;
const REQUESTS_USD = 0.03;
const REQUESTS_PER_PRICE = 10_000;
const FREE_REQUESTS_PER_MONTH = 20_000;

/** @param requests of one account in one month */
export function requestsUsd(requests: number): number {
  return (Math.max(0, requests - FREE_REQUESTS_PER_MONTH) / REQUESTS_PER_PRICE) * REQUESTS_USD;
}
