/** Certificates made for one test run: an authority, a server, and clients by subject. */
import { webcrypto } from 'node:crypto';
import type * as X509 from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

interface TestKeyPair {
  readonly cert: string;
  readonly key: string;
}

export interface TestAuthority {
  readonly cert: string;
  issue(subject: string, use: 'server' | 'client', validMs?: number): Promise<TestKeyPair>;
}

async function pem(key: webcrypto.CryptoKey): Promise<string> {
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  return `-----BEGIN PRIVATE KEY-----\n${pkcs8.toString('base64')}\n-----END PRIVATE KEY-----\n`;
}

/** An EC P-256 private key as PEM, for signing service account tokens. */
export async function testSigningKey(): Promise<string> {
  const { privateKey } = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  return pem(privateKey);
}

/** @peculiar/x509 wants its reflection library loaded first, and an import for side effects alone cannot be ordered. */
async function loadX509(): Promise<typeof X509> {
  await import('reflect-metadata');
  return import('@peculiar/x509');
}

export async function createTestAuthority(name: string): Promise<TestAuthority> {
  const x509 = await loadX509();
  x509.cryptoProvider.set(webcrypto);
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const now = Date.now();
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: `CN=${name}`,
    notBefore: new Date(now - DAY_MS),
    notAfter: new Date(now + DAY_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  });
  let serial = 1;
  return {
    cert: authority.toString('pem'),
    async issue(subject, use, validMs = DAY_MS) {
      const leaf = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
      serial += 1;
      const certificate = await x509.X509CertificateGenerator.create({
        serialNumber: serial.toString(16).padStart(2, '0'),
        subject,
        issuer: authority.subject,
        notBefore: new Date(now - DAY_MS),
        notAfter: new Date(now + validMs),
        signingAlgorithm: ALGORITHM,
        signingKey: keys.privateKey,
        publicKey: leaf.publicKey,
        extensions: [
          new x509.ExtendedKeyUsageExtension([use === 'server' ? SERVER_AUTH : CLIENT_AUTH]),
          ...(use === 'server'
            ? [new x509.SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }])]
            : []),
        ],
      });
      return { cert: certificate.toString('pem'), key: await pem(leaf.privateKey) };
    },
  };
}
