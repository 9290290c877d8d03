/** Goal: the examples of docs/operating/key-service-clients.md work as they stand. Method: each block is run as a program of its own. */
import assert from 'node:assert/strict';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { startKeyService, type KeyServiceUnderTest } from '../support/key-service.js';
import { python, run, succeed, tool } from '../support/programs.js';
import { repository } from '../support/waxseal.js';

let kms: KeyServiceUnderTest;
let blocks: readonly { readonly language: string; readonly code: string }[];
let environment: Readonly<Record<string, string>>;

before(async () => {
  const document = await readFile(join(repository, 'docs/operating/key-service-clients.md'), 'utf8');
  blocks = [...document.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language = '', code = '']) => ({
    language,
    code,
  }));
  kms = await startKeyService({
    keys: [{ region: 'us-east-1', keyId: '1234abcd-12ab-34cd-56ef-1234567890ab', alias: 'alias/app' }],
  });
  await symlink(join(repository, 'node_modules'), join(kms.folder, 'node_modules'));
  environment = {
    ...kms.environment,
    WAXSEAL_ENDPOINT: kms.ready.endpoint,
    WAXSEAL_CA_FILE: kms.ready.caFile,
    AWS_CONFIG_FILE: join(kms.folder, 'aws-config'),
  };
});
after(() => kms.close());

const codeOf = (language: string): readonly string[] =>
  blocks.filter((block) => block.language === language).map(({ code }) => code);

test('the aws CLI', async () => {
  const path = `${dirname(tool('aws'))}:${process.env['PATH']}`;
  const outputs: string[] = [];
  for (const script of codeOf('sh')) {
    outputs.push((await succeed('sh', ['-ec', script], { env: { ...environment, PATH: path } })).trim());
  }
  assert.deepEqual(outputs, ['Enabled', 'arn:aws:sts::111122223333:assumed-role/operator/me']);
});

test('the SDKs for JavaScript', async () => {
  const programs = codeOf('js');
  assert.equal(programs.length, 2);
  for (const [index, program] of programs.entries()) {
    const file = join(kms.folder, `program-${index}.mjs`);
    await writeFile(file, program);
    assert.equal(await succeed(process.execPath, [file], { env: environment }), 'hello\n');
  }
});

test('the SDK for JavaScript by the environment alone', async () => {
  const file = join(kms.folder, 'plain.mjs');
  const program = `import { KMSClient, ListAliasesCommand } from '@aws-sdk/client-kms';
    const { Aliases } = await new KMSClient({}).send(new ListAliasesCommand({}));
    console.log(Aliases.map((alias) => alias.AliasName).join());`;
  await writeFile(file, program);
  const env = {
    ...environment,
    AWS_REGION: 'us-east-1',
    NODE_EXTRA_CA_CERTS: kms.ready.caFile,
    AWS_ENDPOINT_URL_KMS: kms.ready.endpoint,
  };
  assert.match(await succeed(process.execPath, [file], { env }), /alias\/app/);
  const untrusting = await run(process.execPath, [file], { env: { ...env, NODE_EXTRA_CA_CERTS: '' } });
  assert.match(untrusting.stderr, /unable to verify the first certificate|self-signed certificate/);
});

test('Python', async () => {
  const { program, environment: libraries } = python();
  const [code = ''] = codeOf('python');
  // The aws CLI carries botocore inside; importing it first gives botocore its own name.
  const file = join(kms.folder, 'program.py');
  await writeFile(file, `import awscli\n${code}`);
  assert.equal(await succeed(program, [file], { env: { ...environment, ...libraries } }), 'hello\n');
});
