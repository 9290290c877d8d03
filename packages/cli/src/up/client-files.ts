/** What clients need to reach a running `waxseal up`: kubeconfig, AWS credentials, tokens, principals. */
import { createPublicKey, generateKeyPair, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { parsePrincipals } from '@waxseal/key-service';
import { parse, stringify } from 'yaml';
import { CliError } from '../errors.js';
import { readOrCreate, writePrivateFile } from '../private-files.js';
import type { DataDir } from './data-dir.js';
import type { Pki } from './pki.js';

/** The account all keys of `waxseal up` live in; the number AWS's own documentation uses. */
export const accountId = '111122223333';
export const region = 'us-east-1';
export const keyAlias = 'alias/waxseal';
/** The plugin's profile in the credentials file. */
export const pluginProfile = 'plugin';

/** kubeconfig with one context, whose user is the administrator's client certificate. */
export function writeKubeconfig(path: string, server: string, pki: Pki): void {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  writePrivateFile(
    path,
    stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'waxseal',
      clusters: [{ name: 'waxseal', cluster: { server, 'certificate-authority-data': base64(pki.ca) } }],
      users: [
        {
          name: 'waxseal-admin',
          user: {
            'client-certificate-data': base64(pki.admin.cert),
            'client-key-data': base64(pki.admin.key),
          },
        },
      ],
      contexts: [
        { name: 'waxseal', context: { cluster: 'waxseal', user: 'waxseal-admin', namespace: 'default' } },
      ],
    }),
  );
}

interface AccessKey {
  readonly id: string;
  readonly secret: string;
}

/** Access key ids have AWS's shape: `AKIA` and 16 characters of base 32. */
function newAccessKey(): AccessKey {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const id = [...randomBytes(16)].map((byte) => alphabet[byte % alphabet.length]).join('');
  return { id: `AKIA${id}`, secret: randomBytes(30).toString('base64') };
}

/**
 * The key service's principals (made once; then the operator's to edit) and the credentials file derived from them: an
 * administrator for people, and a user for the plugin that may do with keys what a KMS plugin does and nothing else.
 */
export function ensurePrincipals(dataDir: DataDir): void {
  if (!existsSync(dataDir.principals)) writePrivateFile(dataDir.principals, stringify(initialPrincipals()));
  const text = readFileSync(dataDir.principals, 'utf8');
  // Names what is wrong with an edited file; what passes has the shape below.
  parsePrincipals(text);
  const users = (parse(text) as ReturnType<typeof initialPrincipals>).accounts.flatMap(
    (account) => account.users,
  );
  const profiles = [profile('default', users, adminUser), profile(pluginProfile, users, pluginUser)];
  writePrivateFile(dataDir.credentials, profiles.join('\n'));

  function profile(name: string, candidates: typeof users, userName: string): string {
    const key = candidates.find((user) => user.name === userName)?.accessKeys[0];
    if (key === undefined) {
      throw new CliError(
        `${dataDir.principals} has no user ${userName} with an access key`,
        `Add the user again, or remove the file to have new principals made (old access keys stop working).`,
      );
    }
    return `[${name}]\naws_access_key_id = ${key.id}\naws_secret_access_key = ${key.secret}\n`;
  }
}

const adminUser = 'admin';
const pluginUser = 'kms-plugin';

function initialPrincipals() {
  const pluginPolicy = {
    Version: '2012-10-17',
    Statement: [
      { Effect: 'Allow', Action: ['kms:Encrypt', 'kms:Decrypt', 'kms:DescribeKey'], Resource: '*' },
    ],
  };
  return {
    accounts: [
      {
        id: accountId,
        users: [
          { name: adminUser, accessKeys: [newAccessKey()], policies: ['AdministratorAccess'] },
          { name: pluginUser, accessKeys: [newAccessKey()], policies: [pluginPolicy] },
        ],
      },
    ],
  };
}

/** `token,user,uid,"group"`: kube-apiserver's `--token-auth-file` format. */
export function ensureTokens(path: string): Promise<string> {
  return readOrCreate(
    path,
    () => `${randomBytes(32).toString('hex')},waxseal-admin,waxseal-admin,"system:masters"\n`,
  );
}

/** The key that signs service account tokens (PEM, PKCS#8) and its public half (PEM, SPKI). */
export async function ensureServiceAccountKeys(
  path: string,
): Promise<{ privateKey: string; publicKey: string }> {
  const privateKey = await readOrCreate(path, async () => {
    const pair = await promisify(generateKeyPair)('ec', {
      namedCurve: 'P-256',
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    });
    return pair.privateKey;
  });
  return {
    privateKey,
    publicKey: createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }).toString(),
  };
}

/**
 * Every resource sealed by KMS v2; identity last, so that data from before encryption stays readable. A file somebody
 * edited is theirs and stays; one we wrote follows the socket when the data directory has moved.
 */
export function ensureEncryptionConfig(path: string, pluginSocket: string): void {
  const wanted = encryptionConfig(`unix://${pluginSocket}`);
  if (existsSync(path)) {
    const present = readFileSync(path, 'utf8');
    const endpoint = /^ *endpoint: (\S+)$/m.exec(present)?.[1];
    if (present === wanted || endpoint === undefined || present !== encryptionConfig(endpoint)) return;
  }
  writePrivateFile(path, wanted);
}

const encryptionConfig = (endpoint: string): string =>
  stringify(
    {
      apiVersion: 'apiserver.config.k8s.io/v1',
      kind: 'EncryptionConfiguration',
      resources: [
        {
          resources: ['*.*'],
          providers: [{ kms: { apiVersion: 'v2', name: 'waxseal', endpoint } }, { identity: {} }],
        },
      ],
    },
    { lineWidth: 0 },
  );
