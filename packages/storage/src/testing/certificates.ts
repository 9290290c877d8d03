/** A certificate authority for one test run, and what it signs; PEM throughout. */
// @peculiar/x509 wants the Reflect metadata polyfill before it is loaded.
// oxlint-disable-next-line import/no-unassigned-import -- it is loaded for what it does
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  PemConverter,
  type X509Certificate,
} from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const dayMs = 24 * 60 * 60 * 1000;

export interface KeyPairPem {
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface TestAuthority {
  readonly ca: Buffer;
  /** A server for 127.0.0.1 and localhost; also a client, because etcd's peers and gateway dial themselves. */
  server(): Promise<KeyPairPem>;
  client(commonName: string): Promise<KeyPairPem>;
}

export async function createTestAuthority(now: Date = new Date()): Promise<TestAuthority> {
  const notBefore = new Date(now.getTime() - dayMs);
  const notAfter = new Date(now.getTime() + dayMs);
  const authorityKeys = await generateKeys();
  const authority = await X509CertificateGenerator.createSelfSigned(
    {
      name: 'CN=test authority',
      notBefore,
      notAfter,
      keys: authorityKeys,
      signingAlgorithm: algorithm,
      extensions: [
        new BasicConstraintsExtension(true, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
      ],
    },
    webcrypto,
  );
  let serialNumber = 1;
  const issue = async (
    commonName: string,
    usages: ExtendedKeyUsage[],
    names: boolean,
  ): Promise<KeyPairPem> => {
    const keys = await generateKeys();
    const certificate = await X509CertificateGenerator.create(
      {
        subject: `CN=${commonName}`,
        issuer: authority.subject,
        serialNumber: (++serialNumber).toString(16).padStart(2, '0'),
        notBefore,
        notAfter,
        publicKey: keys.publicKey,
        signingKey: authorityKeys.privateKey,
        signingAlgorithm: algorithm,
        extensions: [
          new ExtendedKeyUsageExtension(usages),
          ...(names
            ? [
                new SubjectAlternativeNameExtension([
                  { type: 'ip', value: '127.0.0.1' },
                  { type: 'dns', value: 'localhost' },
                ]),
              ]
            : []),
        ],
      },
      webcrypto,
    );
    return { cert: pem(certificate), key: await privateKeyPem(keys.privateKey) };
  };
  return {
    ca: pem(authority),
    server: () => issue('server', [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth], true),
    client: (commonName) => issue(commonName, [ExtendedKeyUsage.clientAuth], false),
  };
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}

function pem(certificate: X509Certificate): Buffer {
  return Buffer.from(certificate.toString('pem'));
}

async function privateKeyPem(key: webcrypto.CryptoKey): Promise<Buffer> {
  return Buffer.from(PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY'));
}
