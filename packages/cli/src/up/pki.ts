/**
 * The certificates of `waxseal up`: three authorities, so that no client certificate opens more than its door.
 *
 *  - `ca`: signs the servers (API, key service, etcd front). Clients trust this one file.
 *  - `client-ca`: signs users of the API server; its O is a Kubernetes group, its CN the user name.
 *  - `etcd-client-ca`: signs clients of the etcd front, which sees every object's sealed bytes.
 *
 * ECDSA P-256 throughout. Authorities live ten years, leaves one; a leaf with less than 30 days left is made anew.
 */
import { webcrypto, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Extension } from '@peculiar/x509';
import { ensurePrivateDirectory, writePrivateFile } from '../private-files.js';

export interface KeyPair {
  /** PEM certificate. */
  readonly cert: string;
  /** PEM PKCS#8 private key. */
  readonly key: string;
}

export interface Pki {
  readonly caFile: string;
  readonly ca: string;
  readonly clientCa: string;
  readonly etcdClientCa: string;
  readonly apiserver: KeyPair;
  readonly keyService: KeyPair;
  readonly etcdFront: KeyPair;
  /** CN `waxseal-admin`, O `system:masters`. */
  readonly admin: KeyPair;
  readonly etcdCertFile: string;
  readonly etcdKeyFile: string;
}

const dayMs = 24 * 60 * 60 * 1000;
const authorityLifeMs = 3650 * dayMs;
const leafLifeMs = 365 * dayMs;
const renewBeforeMs = 30 * dayMs;
/** Certificates begin a little in the past, so that clients whose clocks lag accept them. */
const clockLagMs = 5 * 60 * 1000;
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

const serverNames = ['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc'];
const serverAddresses = ['127.0.0.1', '::1'];

type LeafUse = 'server' | 'client';

/** Loads the certificates below `folder`, making what is missing or about to expire. */
export async function loadPki(folder: string, now: Date): Promise<Pki> {
  ensurePrivateDirectory(folder);
  const authority = (name: string) => ensureAuthority(folder, name, now);
  const leaf = (name: string, issuer: KeyPair, subject: string, use: LeafUse) =>
    ensureLeaf(folder, name, issuer, subject, use, now);
  const ca = await authority('ca');
  const clientCa = await authority('client-ca');
  const etcdClientCa = await authority('etcd-client-ca');
  const pki: Pki = {
    caFile: join(folder, 'ca.crt'),
    ca: ca.cert,
    clientCa: clientCa.cert,
    etcdClientCa: etcdClientCa.cert,
    apiserver: await leaf('apiserver', ca, 'CN=waxseal-apiserver', 'server'),
    keyService: await leaf('key-service', ca, 'CN=waxseal-key-service', 'server'),
    etcdFront: await leaf('etcd-front', ca, 'CN=waxseal-etcd-front', 'server'),
    admin: await leaf('admin', clientCa, 'O=system:masters, CN=waxseal-admin', 'client'),
    etcdCertFile: join(folder, 'etcd-client.crt'),
    etcdKeyFile: join(folder, 'etcd-client.key'),
  };
  await leaf('etcd-client', etcdClientCa, 'CN=waxseal-etcd-client', 'client');
  return pki;
}

async function ensureAuthority(folder: string, name: string, now: Date): Promise<KeyPair> {
  return (
    readPair(folder, name) ??
    writePair(
      folder,
      name,
      await issue({ subject: `CN=waxseal-${name}`, lifeMs: authorityLifeMs, now, use: 'authority' }),
    )
  );
}

async function ensureLeaf(
  folder: string,
  name: string,
  issuer: KeyPair,
  subject: string,
  use: LeafUse,
  now: Date,
): Promise<KeyPair> {
  const present = readPair(folder, name);
  if (present !== undefined) {
    const certificate = new X509Certificate(present.cert);
    const fresh = Date.parse(certificate.validTo) - now.getTime() > renewBeforeMs;
    if (fresh && certificate.verify(new X509Certificate(issuer.cert).publicKey)) return present;
  }
  return writePair(folder, name, await issue({ subject, lifeMs: leafLifeMs, now, use, issuer }));
}

function readPair(folder: string, name: string): KeyPair | undefined {
  const certFile = join(folder, `${name}.crt`);
  const keyFile = join(folder, `${name}.key`);
  if (!existsSync(certFile) || !existsSync(keyFile)) return undefined;
  return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
}

function writePair(folder: string, name: string, pair: KeyPair): KeyPair {
  // The key first: a certificate without its key would look complete to the next start.
  writePrivateFile(join(folder, `${name}.key`), pair.key);
  writePrivateFile(join(folder, `${name}.crt`), pair.cert);
  return pair;
}

interface Issue {
  readonly subject: string;
  readonly lifeMs: number;
  readonly now: Date;
  readonly use: LeafUse | 'authority';
  /** Absent: self-signed. */
  readonly issuer?: KeyPair;
}

async function issue({ subject, lifeMs, now, use, issuer }: Issue): Promise<KeyPair> {
  // Only needed when something has to be made: an ordinary start does not pay for loading it.
  const x509 = await loadX509();
  const subtle = webcrypto.subtle;
  const keys = await subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const authority = use === 'authority';
  const extensions: Extension[] = [
    new x509.BasicConstraintsExtension(authority, authority ? 0 : undefined, true),
    new x509.KeyUsagesExtension(
      authority
        ? x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign
        : x509.KeyUsageFlags.digitalSignature,
      true,
    ),
    await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
  ];
  if (!authority) {
    const usage = use === 'server' ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth;
    extensions.push(new x509.ExtendedKeyUsageExtension([usage]));
  }
  if (use === 'server') {
    extensions.push(
      new x509.SubjectAlternativeNameExtension([
        ...serverNames.map((value) => ({ type: 'dns' as const, value })),
        ...serverAddresses.map((value) => ({ type: 'ip' as const, value })),
      ]),
    );
  }
  const signer = issuer === undefined ? undefined : new x509.X509Certificate(issuer.cert);
  if (signer !== undefined) {
    extensions.push(await x509.AuthorityKeyIdentifierExtension.create(signer));
  }
  const certificate = await x509.X509CertificateGenerator.create({
    subject,
    issuer: signer?.subject ?? subject,
    notBefore: new Date(now.getTime() - clockLagMs),
    notAfter: new Date(now.getTime() + lifeMs),
    publicKey: keys.publicKey,
    signingKey: issuer === undefined ? keys.privateKey : await importSigningKey(issuer.key),
    signingAlgorithm: algorithm,
    extensions,
  });
  return {
    cert: `${certificate.toString('pem')}\n`,
    key: `${x509.PemConverter.encode(await subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY')}\n`,
  };
}

/** The library's dependency injection reads decorators' metadata and demands this polyfill first. */
async function loadX509() {
  await import('reflect-metadata');
  return import('@peculiar/x509');
}

async function importSigningKey(pem: string): Promise<webcrypto.CryptoKey> {
  const { PemConverter } = await loadX509();
  const [der] = PemConverter.decode(pem);
  if (der === undefined) throw new Error('the authority key file holds no PEM block');
  return webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
}
