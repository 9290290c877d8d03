/** What is sealed is opened again, unchanged, by the plugin alone; the same for KMS v1 and v2. */
import { rules, held, type Bench, type Check } from './check.js';
import { breach, expectAnswer, type Sealed, type Version } from './kms-calls.js';

/** Sizes that are met in practice, and what lies between. kube-apiserver's v1 probe sends the four letters ping. */
const fixedSizes = [32, 16, 24, 1];
const randomSizes = 6;

const sealOne = async (bench: Bench, version: Version, plaintext: Buffer): Promise<Sealed> =>
  expectAnswer(`Encrypt of ${plaintext.length} bytes`, await bench.calls[version].encrypt(plaintext));

export function sealingChecks(version: Version): readonly Check[] {
  return [
    {
      id: `${version}.round-trip`,
      title: `${version}: what Encrypt made, Decrypt opens, on another connection too`,
      rule: version === 'v2' ? rules.api : rules.apiV1,
      advice:
        'Give back exactly the bytes that were sealed; any connection and any process with the key must do.',
      needs: version,
      run: async (bench) => {
        const other = bench.connect();
        const sizes = [
          ...fixedSizes,
          ...Array.from({ length: randomSizes }, () => 1 + bench.random(1).readUInt8() / 4),
        ].map(Math.floor);
        const plaintexts = [Buffer.from('ping'), ...sizes.map((size) => bench.random(size))];
        for (const [index, plaintext] of plaintexts.entries()) {
          const sealed = await sealOne(bench, version, plaintext);
          const opener = index % 2 === 0 ? bench.calls : other;
          const opened = expectAnswer(
            `Decrypt of what was made of ${plaintext.length} bytes`,
            await opener[version].decrypt(sealed),
          );
          if (!opened.equals(plaintext)) {
            throw breach(
              `of ${plaintext.length} bytes came back ${opened.length === plaintext.length ? 'others' : opened.length}`,
            );
          }
        }
        return held(`${plaintexts.length} plaintexts`);
      },
    },
    {
      id: `${version}.fresh-ciphertexts`,
      title: `${version}: equal plaintexts become different ciphertexts`,
      rule: `${rules.guide}: the plugin encrypts with a scheme that hides equality (IND-CPA); RFC 3394 key wrap does not`,
      advice:
        'Use a random nonce for every call. A deterministic key wrap is tolerable for random DEKs only: leave this check out with --skip then.',
      needs: version,
      run: async (bench) => {
        const plaintext = bench.random(32);
        const seen = new Set<string>();
        for (let i = 0; i < 8; i++) {
          seen.add((await sealOne(bench, version, plaintext)).ciphertext.toString('base64'));
        }
        if (seen.size < 8) throw breach(`8 calls with one plaintext made ${seen.size} different ciphertexts`);
        return held();
      },
    },
    {
      id: `${version}.hidden-plaintext`,
      title: `${version}: the plaintext does not lie in the ciphertext or the annotations`,
      rule: `${rules.api}: annotations are stored in the clear`,
      advice: 'Encrypt the plaintext, and put nothing secret into annotations or the key id.',
      needs: version,
      run: async (bench) => {
        const plaintext = bench.random(32);
        const sealed = await sealOne(bench, version, plaintext);
        const places: readonly (readonly [string, Buffer])[] = [
          ['the ciphertext', sealed.ciphertext],
          ['the key id', Buffer.from(sealed.keyId)],
          ...[...sealed.annotations].map(([name, value]) => [`annotation ${name}`, value] as const),
        ];
        for (const [place, bytes] of places) {
          for (const encoding of ['latin1', 'base64', 'base64url', 'hex'] as const) {
            const text = plaintext.toString(encoding).replace(/=+$/, '');
            if (bytes.toString('latin1').includes(text)) {
              throw breach(`the plaintext lies in ${place}${encoding === 'latin1' ? '' : ` as ${encoding}`}`);
            }
          }
        }
        return held();
      },
    },
  ];
}

/** Decrypt is asked with more than the ciphertext, and may use it; it must never give back something else. */
export const bindingChecks: readonly Check[] = [
  {
    id: 'v2.other-key-id',
    title: 'v2: Decrypt with another key_id opens the value or refuses',
    rule: `${rules.api} DecryptRequest.key_id`,
    advice: 'Choose the key by what is authenticated, and answer an error for a key that is not known.',
    needs: 'v2',
    run: (bench) =>
      opensOrRefuses(bench, (sealed) => [
        { ...sealed, keyId: 'a-key-that-does-not-exist' },
        { ...sealed, keyId: `${sealed.keyId.slice(0, 1000)}-2` },
      ]),
  },
  {
    id: 'v2.other-annotations',
    title: 'v2: Decrypt with other annotations opens the value or refuses',
    rule: `${rules.api} DecryptRequest.annotations`,
    advice: 'Ignore annotations that are not yours, and refuse your own when they are changed or missing.',
    needs: 'v2',
    run: (bench) =>
      opensOrRefuses(bench, (sealed) => [
        { ...sealed, annotations: new Map([...sealed.annotations, ['other.example.com', Buffer.from('x')]]) },
        { ...sealed, annotations: new Map() },
        {
          ...sealed,
          annotations: new Map([...sealed.annotations].map(([name]) => [name, bench.random(16)])),
        },
      ]),
  },
];

async function opensOrRefuses(
  bench: Bench,
  variantsOf: (sealed: Sealed) => readonly Sealed[],
): Promise<ReturnType<typeof held>> {
  const plaintext = bench.random(32);
  const sealed = await sealOne(bench, 'v2', plaintext);
  let opened = 0;
  const variants = variantsOf(sealed);
  for (const variant of variants) {
    const outcome = await bench.calls.v2.decrypt(variant);
    if (!outcome.ok) {
      if (outcome.code === undefined) throw breach(`Decrypt got ${outcome.said}`);
      continue;
    }
    if (!outcome.value.equals(plaintext)) throw breach('Decrypt opened something else');
    opened += 1;
  }
  return held(`${opened} of ${variants.length} opened`);
}
