/**
 * The AWS shared credentials file: INI, one section per profile.
 *
 * Source: the AWS SDKs and Tools reference guide, "Shared config and credentials files". Only static credentials are
 * read here; what needs roles or processes goes through the `aws` provider.
 */
import { readFile } from 'node:fs/promises';
import { KmsPluginError } from '../errors.js';
import type { AwsCredentials } from './aws-sdk-calls.js';

const fileMaxBytes = 1024 * 1024;

/** @throws KmsPluginError `credentials_invalid`; the message never quotes the file */
export async function readSharedCredentials(path: string, profile: string): Promise<AwsCredentials> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new KmsPluginError(
      'credentials_invalid',
      `The credentials file ${path} cannot be read. Check the path and its permissions.`,
      cause,
    );
  }
  if (text.length > fileMaxBytes) {
    throw new KmsPluginError(
      'credentials_invalid',
      `The credentials file ${path} is larger than ${fileMaxBytes} bytes.`,
    );
  }
  const section = parseSection(text, profile);
  const accessKeyId = section.get('aws_access_key_id');
  const secretAccessKey = section.get('aws_secret_access_key');
  const sessionToken = section.get('aws_session_token');
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    throw new KmsPluginError(
      'credentials_invalid',
      `The credentials file ${path} has no aws_access_key_id and aws_secret_access_key under [${profile}].`,
    );
  }
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

function parseSection(text: string, profile: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  let current: string | undefined;
  for (const raw of text.split(/\r?\n/)) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#') || line.startsWith(';')) continue;
    if (line.startsWith('[')) {
      current = line.replace(/^\[\s*|\s*\].*$/g, '');
      continue;
    }
    const equals = line.indexOf('=');
    if (current !== profile || equals < 0) continue;
    values.set(line.slice(0, equals).trim().toLowerCase(), line.slice(equals + 1).trim());
  }
  return values;
}
