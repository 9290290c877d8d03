/** The sizes an API server refuses to store: what exceeds them cannot be written, whatever the plugin says. */
import {
  annotationsMaxBytes,
  ciphertextMaxBytes,
  isFullyQualifiedDomainName,
  keyIdMaxBytes,
  v1CiphertextMaxBytes,
} from '@waxseal/kms-api';
import { rules, held, type Bench, type Check } from './check.js';
import { breach, expectAnswer, type Sealed, type Version } from './kms-calls.js';

/** A DEK of AES-256, a seed, and what kube-apiserver's probes of KMS v1 send. */
const plaintextSizes = [32, 32, 16, 4];

async function sealEach(bench: Bench, version: Version): Promise<readonly Sealed[]> {
  const sealed: Sealed[] = [];
  for (const size of plaintextSizes) {
    sealed.push(
      expectAnswer(`Encrypt of ${size} bytes`, await bench.calls[version].encrypt(bench.random(size))),
    );
  }
  return sealed;
}

function ciphertextsWithin(sealed: readonly Sealed[], maxBytes: number): string {
  const sizes = sealed.map(({ ciphertext }) => ciphertext.length);
  for (const size of sizes) {
    if (size === 0) throw breach('a ciphertext is empty');
    if (size > maxBytes) throw breach(`a ciphertext has ${size} bytes, the limit is ${maxBytes}`);
  }
  return `at most ${Math.max(...sizes)} of ${maxBytes} bytes`;
}

export const limitChecks: readonly Check[] = [
  {
    id: 'limits.key-id',
    title: 'key_id has 1 to 1024 bytes',
    rule: `${rules.api}; ${rules.envelope} ValidateKeyID`,
    advice: 'Name the key in at most 1024 bytes; a hash will do.',
    needs: 'v2',
    run: async (bench) => {
      const status = expectAnswer('Status', await bench.calls.status());
      const sealed = await sealEach(bench, 'v2');
      for (const keyId of [status.keyId, ...sealed.map((one) => one.keyId)]) {
        const bytes = Buffer.byteLength(keyId);
        if (bytes === 0) throw breach('a key_id is empty');
        if (bytes > keyIdMaxBytes) throw breach(`a key_id has ${bytes} bytes, the limit is ${keyIdMaxBytes}`);
      }
      return held(`${Buffer.byteLength(status.keyId)} bytes`);
    },
  },
  {
    id: 'limits.ciphertext',
    title: 'ciphertext has 1 to 1024 bytes',
    rule: `${rules.api}; ${rules.envelope} validateEncryptedDEKSource`,
    advice: 'Keep the wrapped DEK source within 1024 bytes; put what else is needed into annotations.',
    needs: 'v2',
    run: async (bench) => held(ciphertextsWithin(await sealEach(bench, 'v2'), ciphertextMaxBytes)),
  },
  {
    id: 'limits.annotations',
    title: 'annotations are named by domain names and have at most 32 KiB',
    rule: `${rules.api}; ${rules.envelope} validateAnnotations (RFC 1123)`,
    advice: 'Name annotations like version.plugin.example.com, in lower case, and keep them small.',
    needs: 'v2',
    run: async (bench) => {
      let most = 0;
      for (const { annotations } of await sealEach(bench, 'v2')) {
        let bytes = 0;
        for (const [name, value] of annotations) {
          if (!isFullyQualifiedDomainName(name)) {
            throw breach(`the annotation ${JSON.stringify(name.slice(0, 80))} is not named by a domain name`);
          }
          bytes += Buffer.byteLength(name) + value.length;
        }
        if (bytes > annotationsMaxBytes)
          throw breach(`annotations have ${bytes} bytes, the limit is ${annotationsMaxBytes}`);
        most = Math.max(most, bytes);
      }
      return held(`${most} bytes`);
    },
  },
  {
    id: 'limits.v1-cipher',
    title: 'v1: cipher has 1 to 65535 bytes',
    rule: 'k8s.io/apiserver envelope/envelope.go: a uint16 length stands before it',
    advice: 'Keep the wrapped DEK within 65535 bytes.',
    needs: 'v1',
    run: async (bench) => held(ciphertextsWithin(await sealEach(bench, 'v1'), v1CiphertextMaxBytes)),
  },
];
