/** What nobody sealed is refused with an error, and disturbs nothing else. */
import { rules, held, type Bench, type Check } from './check.js';
import { breach, expectAnswer, type Outcome, type Sealed, type Sealer, type Version } from './kms-calls.js';

const flips = 48;
const garbageSizes = [1, 2, 16, 60, 200, 1024];
const oversizedBytes = 10 * 1024 * 1024;

/** What other plugins store begins like this. */
const foreign: readonly (readonly [string, Buffer])[] = [
  ['a value of Vault', Buffer.from('vault:v1:c29tZXRoaW5nIGZvcmVpZ24gdGhhdCBpcyBsb25nIGVub3VnaA==')],
  ['a value of aws-encryption-provider', Buffer.concat([Buffer.from('1'), Buffer.alloc(180, 0x5a)])],
  ['a stored object', Buffer.from('k8s:enc:kms:v2:other:\x0a\x05hello')],
  ['text', Buffer.from('not encrypted at all')],
];

/** An error with a gRPC status is the only right answer. */
function expectRefusal(what: string, outcome: Outcome<Buffer>): void {
  if (outcome.ok) throw breach(`Decrypt opened ${what}`);
  if (outcome.code === undefined) throw breach(`${what} got ${outcome.said}`);
}

async function sealedSample(bench: Bench, sealer: Sealer): Promise<{ sealed: Sealed; plaintext: Buffer }> {
  const plaintext = bench.random(32);
  return { plaintext, sealed: expectAnswer('Encrypt of 32 bytes', await sealer.encrypt(plaintext)) };
}

export function malformedChecks(version: Version): readonly Check[] {
  const check = (
    name: string,
    title: string,
    advice: string,
    run: (bench: Bench, sealer: Sealer) => Promise<ReturnType<typeof held>>,
    rule = `${version === 'v2' ? rules.kep : rules.guide}: Decrypt answers what was encrypted, or an error`,
  ): Check => ({
    id: `${version}.${name}`,
    title: `${version}: ${title}`,
    rule,
    advice,
    needs: version,
    run: (bench) => run(bench, bench.calls[version]),
  });

  return [
    check(
      'empty-ciphertext',
      'an empty ciphertext is refused',
      'Refuse an empty ciphertext before anything else.',
      async (bench, sealer) => {
        const { sealed } = await sealedSample(bench, sealer);
        expectRefusal(
          'an empty ciphertext',
          await sealer.decrypt({ ...sealed, ciphertext: Buffer.alloc(0) }),
        );
        return held();
      },
    ),
    check(
      'truncated-ciphertext',
      'a truncated ciphertext is refused',
      'Authenticate the whole ciphertext (AES-GCM or the like), and check its length first.',
      async (bench, sealer) => {
        const { sealed } = await sealedSample(bench, sealer);
        const { length } = sealed.ciphertext;
        const lengths = new Set([1, 2, length >> 2, length >> 1, length - 16, length - 2, length - 1]);
        const shorter = [...lengths].filter((size) => size > 0 && size < length);
        for (const size of shorter) {
          const ciphertext = sealed.ciphertext.subarray(0, size);
          expectRefusal(`${size} of ${length} bytes`, await sealer.decrypt({ ...sealed, ciphertext }));
        }
        return held(`${shorter.length} lengths`);
      },
    ),
    check(
      'changed-ciphertext',
      'a ciphertext with a flipped bit is refused',
      'Authenticate every byte of the ciphertext (AES-GCM or the like).',
      async (bench, sealer) => {
        const { sealed, plaintext } = await sealedSample(bench, sealer);
        const bits = sealed.ciphertext.length * 8;
        let ignored = 0;
        for (let i = 0; i < flips; i++) {
          const bit = i === 0 ? 0 : i === 1 ? bits - 1 : bench.random(4).readUInt32BE() % bits;
          const ciphertext = Buffer.from(sealed.ciphertext);
          ciphertext.writeUInt8(ciphertext.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
          const outcome = await sealer.decrypt({ ...sealed, ciphertext });
          if (!outcome.ok && outcome.code === undefined) throw breach(`bit ${bit} got ${outcome.said}`);
          if (!outcome.ok) continue;
          if (!outcome.value.equals(plaintext)) throw breach(`with bit ${bit} flipped, something else opens`);
          ignored += 1;
        }
        // Spare bits of base64 and letter case of hex mean nothing; most bits do.
        if (ignored > flips / 4) throw breach(`${ignored} of ${flips} flipped bits made no difference`);
        return held(`${flips} bits${ignored === 0 ? '' : `, ${ignored} of them without meaning`}`);
      },
    ),
    check(
      'foreign-ciphertext',
      'a ciphertext of somebody else is refused',
      'Check a prefix or a tag of your own before anything is decrypted.',
      async (bench, sealer) => {
        const { sealed } = await sealedSample(bench, sealer);
        for (const [what, ciphertext] of foreign) {
          expectRefusal(what, await sealer.decrypt({ ...sealed, ciphertext }));
        }
        return held(`${foreign.length} kinds`);
      },
    ),
    check(
      'garbage-ciphertext',
      'random bytes are refused',
      'Parse ciphertexts as untrusted input: lengths first, and no exception may end the process.',
      async (bench, sealer) => {
        const { sealed } = await sealedSample(bench, sealer);
        for (const size of garbageSizes) {
          expectRefusal(
            `${size} random bytes`,
            await sealer.decrypt({ ...sealed, ciphertext: bench.random(size) }),
          );
        }
        return held(`${garbageSizes.length} sizes`);
      },
    ),
    check(
      'oversized-message',
      'a message of 10 MiB is refused, and the plugin goes on',
      'Limit the size of received messages; gRPC servers have a setting, 4 MiB by default in Go.',
      async (bench) => {
        // On a connection of its own: closing it is a lawful answer.
        const sealer = bench.connect()[version];
        const outcome = await sealer.raw(
          'Decrypt',
          sealer.encodeDecrypt({
            ciphertext: Buffer.alloc(oversizedBytes, 0x41),
            keyId: 'k',
            annotations: new Map(),
          }),
        );
        if (outcome.ok) throw breach('Decrypt opened 10 MiB of the letter A');
        if (outcome.hung) throw breach(`10 MiB got ${outcome.said}`);
        return held(outcome.said.slice(0, 60));
      },
      rules.grpc,
    ),
    check(
      'unknown-fields',
      'fields of a later contract are ignored',
      'Skip unknown fields, as protobuf libraries do by themselves.',
      async (bench, sealer) => {
        const { sealed, plaintext } = await sealedSample(bench, sealer);
        // Field 100, length-delimited: tag 802 as a varint, then seven bytes.
        const unknown = Buffer.from([0xa2, 0x06, 7, ...Buffer.from('unknown')]);
        const answer = await sealer.raw('Decrypt', Buffer.concat([sealer.encodeDecrypt(sealed), unknown]));
        const message = expectAnswer('Decrypt with an unknown field', answer);
        if (!sealer.decodeDecrypt(message).equals(plaintext)) throw breach('something else opens');
        return held();
      },
      'protobuf.dev, Proto3: Unknown fields',
    ),
    check(
      'not-protobuf',
      'requests that are no protobuf message are refused',
      'Answer a gRPC status (INTERNAL or INVALID_ARGUMENT) when a request cannot be parsed.',
      async (_bench, sealer) => {
        for (const message of [
          Buffer.from([0x0a, 0x7f, 1]),
          Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
          Buffer.alloc(64, 0xff),
        ]) {
          for (const method of ['Encrypt', 'Decrypt'] as const) {
            const outcome = await sealer.raw(method, message);
            if (outcome.ok) throw breach(`${method} answered a request that is no message`);
            if (outcome.code === undefined) throw breach(`${method} got ${outcome.said}`);
          }
        }
        return held();
      },
      rules.grpc,
    ),
  ];
}
