/** Goal: every client certificate opens its own door only, and what is about to expire is made anew. */
import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { loadPki } from './pki.js';

const dayMs = 24 * 60 * 60 * 1000;

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'waxseal-pki-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test('leaves are signed by their own authority, private and named', async (t) => {
  const path = folder(t);
  const pki = await loadPki(path, new Date());
  const publicKeyOf = (pem: string) => new X509Certificate(pem).publicKey;
  for (const { cert } of [pki.apiserver, pki.keyService, pki.etcdFront]) {
    const certificate = new X509Certificate(cert);
    assert.ok(certificate.verify(publicKeyOf(pki.ca)));
    assert.equal(certificate.checkHost('localhost'), 'localhost');
    assert.equal(certificate.checkIP('127.0.0.1'), '127.0.0.1');
  }
  const admin = new X509Certificate(pki.admin.cert);
  assert.ok(admin.verify(publicKeyOf(pki.clientCa)));
  assert.ok(!admin.verify(publicKeyOf(pki.etcdClientCa)));
  assert.equal(admin.subject, 'O=system:masters\nCN=waxseal-admin');
  assert.ok(new X509Certificate(readFileSync(pki.etcdCertFile)).verify(publicKeyOf(pki.etcdClientCa)));
  for (const name of ['ca.key', 'admin.key', 'etcd-client.key']) {
    assert.equal(statSync(join(path, name)).mode & 0o777, 0o600, name);
  }
});

test('a second load keeps everything; a leaf near its end is renewed, its authority is not', async (t) => {
  const path = folder(t);
  const start = new Date();
  const first = await loadPki(path, start);
  assert.deepEqual(await loadPki(path, start), first);
  const later = await loadPki(path, new Date(start.getTime() + 340 * dayMs));
  assert.equal(later.ca, first.ca);
  assert.notEqual(later.apiserver.cert, first.apiserver.cert);
  assert.ok(Date.parse(new X509Certificate(later.apiserver.cert).validTo) > start.getTime() + 600 * dayMs);
});

test('two servers that start at once on one folder agree on their authorities', async (t) => {
  const path = folder(t);
  const [first, second] = await Promise.all([loadPki(path, new Date()), loadPki(path, new Date())]);
  const authority = (pem: string) => new X509Certificate(pem).publicKey;
  for (const { cert } of [first.apiserver, second.apiserver]) {
    assert.ok(new X509Certificate(cert).verify(authority(first.ca)));
    assert.ok(new X509Certificate(cert).verify(authority(second.ca)));
  }
});

test('halves that do not belong together are made anew for a leaf and refused for an authority', async (t) => {
  const path = folder(t);
  await loadPki(path, new Date());
  copyFileSync(join(path, 'admin.key'), join(path, 'apiserver.key'));
  const { apiserver } = await loadPki(path, new Date());
  assert.ok(new X509Certificate(apiserver.cert).checkPrivateKey(createPrivateKey(apiserver.key)));
  copyFileSync(join(path, 'admin.key'), join(path, 'ca.key'));
  await assert.rejects(loadPki(path, new Date()), /ca\.crt and the key beside it do not belong together/);
});
