/**
 * The certificates of `waxseal up`: three authorities, so that no client certificate opens more than its door.
 *
 *  - `ca`: signs the servers (API, key service, etcd front). Clients trust this one file.
 *  - `client-ca`: signs users of the API server; its O is a Kubernetes group, its CN the user name.
 *  - `etcd-client-ca`: signs clients of the etcd front, which sees every object's sealed bytes.
 *
 * ECDSA P-256 throughout. Authorities live ten years, leaves one; a leaf with less than 30 days left is made anew.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  webcrypto,
  X509Certificate,
} from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import type { Extension } from '@peculiar/x509';
import { CliError } from '../errors.js';
import { ensurePrivateDirectory, readOrCreate, writePrivateFile } from '../private-files.js';

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

/** What the key service alone needs. */
export type KeyServicePki = Pick<Pki, 'caFile' | 'ca' | 'keyService'>;

/**
 * As loadPki, of the key service only: who serves nothing else gets no keys of other servers and users.
 *
 * @param names further names and addresses that clients reach it by
 */
export async function loadKeyServicePki(
  folder: string,
  now: Date,
  names: readonly string[] = [],
): Promise<KeyServicePki> {
  ensurePrivateDirectory(folder);
  const ca = await ensureAuthority(folder, 'ca', now);
  return {
    caFile: join(folder, 'ca.crt'),
    ca: ca.cert,
    keyService: await ensureLeaf(folder, 'key-service', ca, 'CN=waxseal-key-service', 'server', now, names),
  };
}

/** Loads the certificates below `folder`, making what is missing or about to expire. */
export async function loadPki(folder: string, now: Date): Promise<Pki> {
  const keyServicePki = await loadKeyServicePki(folder, now);
  const authority = (name: string) => ensureAuthority(folder, name, now);
  const leaf = (name: string, issuer: KeyPair, subject: string, use: LeafUse) =>
    ensureLeaf(folder, name, issuer, subject, use, now, []);
  const ca = await authority('ca');
  const clientCa = await authority('client-ca');
  const etcdClientCa = await authority('etcd-client-ca');
  const pki: Pki = {
    ...keyServicePki,
    clientCa: clientCa.cert,
    etcdClientCa: etcdClientCa.cert,
    apiserver: await leaf('apiserver', ca, 'CN=waxseal-apiserver', 'server'),
    etcdFront: await leaf('etcd-front', ca, 'CN=waxseal-etcd-front', 'server'),
    admin: await leaf('admin', clientCa, 'O=system:masters, CN=waxseal-admin', 'client'),
    etcdCertFile: join(folder, 'etcd-client.crt'),
    etcdKeyFile: join(folder, 'etcd-client.key'),
  };
  await leaf('etcd-client', etcdClientCa, 'CN=waxseal-etcd-client', 'client');
  return pki;
}

/**
 * Two servers may start on one folder at once (`waxseal kms serve` and `waxseal apiserver`): the first key stands, and any
 * certificate made of it is as good as any other.
 */
async function ensureAuthority(folder: string, name: string, now: Date): Promise<KeyPair> {
  const key = await readOrCreate(join(folder, `${name}.key`), newKey);
  const certFile = join(folder, `${name}.crt`);
  const cert = await readOrCreate(certFile, () =>
    issue({ subject: `CN=waxseal-${name}`, key, lifeMs: authorityLifeMs, now, use: 'authority' }),
  );
  if (!belongTogether({ cert, key })) {
    throw new CliError(
      `${certFile} and the key beside it do not belong together`,
      `Restore both from a backup, or remove both to have a new authority made (clients then need the new ${name}.crt).`,
    );
  }
  return { cert, key };
}

function belongTogether({ cert, key }: KeyPair): boolean {
  try {
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false; // Not PEM at all.
  }
}

async function ensureLeaf(
  folder: string,
  name: string,
  issuer: KeyPair,
  subject: string,
  use: LeafUse,
  now: Date,
  names: readonly string[],
): Promise<KeyPair> {
  const present = readPair(folder, name);
  if (present !== undefined && belongTogether(present)) {
    const certificate = new X509Certificate(present.cert);
    const fresh = Date.parse(certificate.validTo) - now.getTime() > renewBeforeMs;
    const named = names.every((name) =>
      isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name),
    );
    if (fresh && named && certificate.verify(new X509Certificate(issuer.cert).publicKey)) return present;
  }
  const key = newKey();
  return writePair(folder, name, {
    cert: await issue({ subject, key, lifeMs: leafLifeMs, now, use, issuer, names }),
    key,
  });
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

/** PEM, PKCS#8. */
const newKey = (): string =>
  generateKeyPairSync('ec', {
    namedCurve: algorithm.namedCurve,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  }).privateKey;

interface Issue {
  readonly subject: string;
  /** PEM of the subject's private key. */
  readonly key: string;
  readonly lifeMs: number;
  readonly now: Date;
  readonly use: LeafUse | 'authority';
  /** Absent: self-signed. */
  readonly issuer?: KeyPair;
  /** Of a server, beside those every server has. */
  readonly names?: readonly string[];
}

/** The certificate, PEM. */
async function issue({ subject, key, lifeMs, now, use, issuer, names = [] }: Issue): Promise<string> {
  // Only needed when something has to be made: an ordinary start does not pay for loading it.
  const x509 = await loadX509();
  const publicKey = await importPublicKey(key);
  const authority = use === 'authority';
  const extensions: Extension[] = [
    new x509.BasicConstraintsExtension(authority, authority ? 0 : undefined, true),
    new x509.KeyUsagesExtension(
      authority
        ? x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign
        : x509.KeyUsageFlags.digitalSignature,
      true,
    ),
    await x509.SubjectKeyIdentifierExtension.create(publicKey),
  ];
  if (!authority) {
    const usage = use === 'server' ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth;
    extensions.push(new x509.ExtendedKeyUsageExtension([usage]));
  }
  if (use === 'server') {
    extensions.push(
      new x509.SubjectAlternativeNameExtension(
        Array.from(new Set([...serverNames, ...serverAddresses, ...names]), (value) => ({
          type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const),
          value,
        })),
      ),
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
    publicKey,
    signingKey: await importSigningKey(issuer?.key ?? key),
    signingAlgorithm: algorithm,
    extensions,
  });
  return `${certificate.toString('pem')}\n`;
}

/** The library's dependency injection reads decorators' metadata and demands this polyfill first. */
async function loadX509() {
  await import('reflect-metadata');
  return import('@peculiar/x509');
}

function importSigningKey(pem: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' });
  return webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
}

function importPublicKey(privatePem: string): Promise<webcrypto.CryptoKey> {
  const der = createPublicKey(privatePem).export({ type: 'spki', format: 'der' });
  return webcrypto.subtle.importKey('spki', der, algorithm, true, ['verify']);
}
