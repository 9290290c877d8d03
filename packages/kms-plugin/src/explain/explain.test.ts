/** What an explanation says of each kind of trouble, with providers that fail as told. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../clock.js';
import { ProviderError, unopenable, type Failure } from '../errors.js';
import type { KeyCondition } from '../key-condition.js';
import type { Provider } from '../provider.js';
import { createFakeClock } from '../testing/fake-clock.js';
import { createFakeProvider } from '../testing/fake-provider.js';
import { awsFailures } from '../providers/aws-errors.js';
import { createKeyGroup } from '../recipients/key-group.js';
import { createSnapshot } from '../snapshot.js';
import { explainKeys, type ExplainOptions, type Finding, type Step } from './explain.js';
import { formatExplanation } from './report.js';

const nowMs = Date.UTC(2026, 0, 1);

const asked: ExplainOptions = {
  clock: systemClock,
  nowMs: () => nowMs,
  randomBytes: (size) => Buffer.alloc(size, 7),
  timeoutMs: 2000,
};

async function findingsOf(
  provider: Provider,
  more: Partial<ExplainOptions> = {},
): Promise<{
  readonly works: boolean;
  readonly of: (step: Step) => Finding | undefined;
  readonly text: string;
}> {
  const explanation = await explainKeys([{ name: 'keys', provider }], { ...asked, ...more });
  const all = explanation.keySets.flatMap(({ keys }) => keys.flatMap(({ findings }) => findings));
  return {
    works: explanation.works,
    of: (step) => all.find((finding) => finding.step === step),
    text: formatExplanation(explanation),
  };
}

const failing =
  (reason: string, failure = awsFailures.get(reason) as Failure) =>
  (): Promise<never> =>
    Promise.reject(new ProviderError(reason, failure));

/** A backend that tells its time. */
async function telling(t: TestContext, date: Date | undefined): Promise<string> {
  const server = createServer((_request, response) => {
    response.sendDate = false;
    if (date !== undefined) response.setHeader('date', date.toUTCString());
    response.writeHead(404).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('a provider that works', async () => {
  const { works, of, text } = await findingsOf(createFakeProvider());
  assert.equal(works, true);
  assert.equal(of('connect'), undefined);
  assert.equal(of('describe')?.result, 'not-tried');
  assert.equal(of('encrypt')?.result, 'works');
  assert.equal(of('decrypt')?.result, 'works');
  assert.match(text, /^keys fake fake-key-1\n/);
  assert.match(text, /Everything that was tried works\.$/);
});

test('a reader is asked for its state, tried with a stored value, and named when it opens it', async () => {
  const marked = (name: string): Provider =>
    createFakeProvider({
      snapshot: () => createSnapshot({ keyId: name }),
      describe: () => Promise.resolve({ state: 'usable', warnings: [] }),
      recognizes: ({ ciphertext }) => ciphertext.toString().startsWith(name),
      encrypt: () => Promise.resolve({ ciphertext: Buffer.from(`${name}:x`), annotations: {} }),
      decrypt: ({ ciphertext }) =>
        ciphertext.toString() === `${name}:x`
          ? Promise.resolve(Buffer.alloc(32, 7))
          : Promise.reject(new ProviderError('damaged', unopenable)),
    });
  const group = createKeyGroup({
    primary: { name: 'new', provider: marked('a') },
    readers: [
      { name: 'old', provider: marked('b') },
      { name: 'older', provider: marked('c') },
    ],
  });
  const without = await explainKeys([{ name: 'keys', provider: group }], asked);
  for (const key of without.keySets[0]?.keys.slice(1) ?? []) {
    assert.deepEqual(
      key.findings.map(({ step, result }) => `${step} ${result}`),
      ['describe works', 'decrypt not-tried'],
    );
  }
  assert.match(formatExplanation(without), /It only reads, .* --sealed/);
  const open = async (text: string): Promise<Finding | undefined> =>
    (await findingsOf(group, { sealed: { ciphertext: Buffer.from(text), annotations: {} } })).of('open');
  assert.deepEqual((await open('b:x'))?.sentences, [
    'The stored value opens: the reader old recognises and opens it.',
    'The primary new does not recognise it.',
    'The reader older does not recognise it.',
  ]);
  const damaged = await open('c:y');
  assert.equal(damaged?.result, 'fails');
  assert.equal(damaged.failureClass, 'corrupt');
  assert.match(damaged.sentences.join(' '), /The reader older recognises it and cannot open it: damaged/);
  assert.equal((await open('nobody'))?.result, 'fails');
});

test('every key state becomes a sentence', async () => {
  const states: readonly (readonly [KeyCondition, Finding['result'], RegExp])[] = [
    [{ state: 'usable', warnings: [] }, 'works', /^$/],
    [{ state: 'usable', warnings: ['It is old.'] }, 'warns', /It is old\./],
    [
      { state: 'usable', warnings: [], unreadableFromMs: nowMs },
      'warns',
      /From 2026-01-01T00:00:00\.000Z on/,
    ],
    [{ state: 'disabled', warnings: [] }, 'fails', /disabled; enable it/],
    [
      { state: 'pending-deletion', warnings: [], unreadableFromMs: nowMs },
      'fails',
      /cancel that .*From 2026-01-01/,
    ],
    [{ state: 'pending-import', warnings: [] }, 'fails', /import it again/],
    [{ state: 'expired', warnings: [] }, 'fails', /has expired/],
    [{ state: 'gone', warnings: [] }, 'fails', /no such key/],
  ];
  for (const [condition, result, sentence] of states) {
    const { works, of } = await findingsOf(
      createFakeProvider({ describe: () => Promise.resolve(condition) }),
    );
    assert.equal(of('describe')?.result, result);
    assert.match(of('describe')?.sentences.join(' ') ?? '', sentence);
    assert.equal(works, result !== 'fails');
  }
});

test('expired credentials, throttling, an unknown error: the table of the provider speaks', async () => {
  for (const [reason, sentence] of [
    ['ExpiredTokenException', /The credentials have expired; renew them/],
    ['ThrottlingException', /limits the rate/],
    ['RequestTimeTooSkewed', /clock of this machine/],
    ['KMSInvalidStateException', /cancel its deletion/],
  ] as const) {
    const { works, of } = await findingsOf(createFakeProvider({ encrypt: failing(reason) }));
    assert.equal(works, false);
    assert.match(of('encrypt')?.sentences.join(' ') ?? '', sentence);
    assert.equal(of('decrypt')?.result, 'not-tried');
  }
  const secret = createFakeProvider({ encrypt: () => Promise.reject(new Error('secret-marker')) });
  assert.doesNotMatch((await findingsOf(secret)).text, /secret-marker/);
});

test('each provider names its own permission', async () => {
  for (const [name, permission] of [
    ['aws', 'kms:Decrypt'],
    ['azure', 'keys/decrypt/action'],
    ['gcp', 'cloudkms.cryptoKeyVersions.useToDecrypt'],
    ['vault', 'update on MOUNT/decrypt/KEY'],
  ] as const) {
    const provider = createFakeProvider({ name, decrypt: failing('AccessDeniedException') });
    const { of } = await findingsOf(provider);
    assert.ok(of('decrypt')?.sentences.join(' ').includes(`needs ${permission}`), name);
  }
});

test('a backend that hangs ends with the step; one that mixes up plaintexts is found', async () => {
  const clock = createFakeClock();
  const hanging = createFakeProvider({
    encrypt: () => {
      setImmediate(() => {
        clock.advance(2000);
      });
      return new Promise(() => {});
    },
  });
  const { of } = await findingsOf(hanging, { clock });
  assert.match(of('encrypt')?.sentences.join(' ') ?? '', /did not answer in time/);
  const mixing = createFakeProvider({ decrypt: () => Promise.resolve(Buffer.alloc(32)) });
  assert.match((await findingsOf(mixing)).text, /decrypted something else/);
});

test('a provider that learns its key by the first call is tried again with it', async () => {
  const known = createSnapshot({ keyId: 'key-2' });
  let snapshot = createSnapshot({ keyId: 'key-1' });
  const provider = createFakeProvider({
    snapshot: () => snapshot,
    encrypt: (given) => {
      snapshot = known;
      return given === known
        ? Promise.resolve({ ciphertext: Buffer.alloc(32, 7), annotations: {} })
        : failing('NotFoundException')();
    },
    decrypt: ({ ciphertext }) => Promise.resolve(Buffer.from(ciphertext)),
  });
  assert.equal((await findingsOf(provider)).works, true);
});

test('the clock is compared with the backend’s, and the region with the ARN’s', async (t) => {
  for (const [aheadMs, result, sentence] of [
    [0, 'works', /answers/],
    [60_000, 'warns', /60 s ahead of/],
    [-3_600_000, 'fails', /3600 s behind/],
  ] as const) {
    const url = await telling(t, new Date(nowMs - aheadMs));
    const { of } = await findingsOf(createFakeProvider({ connection: { url } }));
    assert.equal(of('connect')?.result, result);
    assert.match(of('connect')?.sentences.join(' ') ?? '', sentence);
  }
  const silent = await telling(t, undefined);
  assert.equal((await findingsOf(createFakeProvider({ connection: { url: silent } }))).works, true);
  const snapshot = createSnapshot({ keyId: 'arn:aws:kms:eu-west-1:111122223333:key/k' });
  const elsewhere = createFakeProvider({
    snapshot: () => snapshot,
    connection: { region: 'us-east-1' },
    encrypt: failing('NotFoundException'),
  });
  assert.match((await findingsOf(elsewhere)).text, /lies in region eu-west-1, and the calls go to us-east-1/);
});

test('each way a connection fails has its sentence', async () => {
  for (const [connection, sentence] of [
    [{ url: 'http://127.0.0.1:1' }, /Nothing listens at 127\.0\.0\.1:1/],
    [{ url: 'https://name.invalid' }, /name\.invalid:443/],
    [{ url: 'https://127.0.0.1:1', caFile: '/no/such/file' }, /CA file does not exist/],
  ] as const) {
    const { of } = await findingsOf(createFakeProvider({ connection }));
    assert.equal(of('connect')?.result, 'fails');
    assert.match(of('connect')?.sentences.join(' ') ?? '', sentence);
  }
});
