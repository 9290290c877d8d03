#!/usr/bin/env node
/**
 * Completes package-lock.json after `npm install`: a registry mirror that does not carry the builds for other platforms
 * makes npm leave them out of the lock file, and `npm ci` then refuses it everywhere. What is missing is known: a
 * package's optional dependencies pin exact versions, and their names say the platform.
 *
 *   node scripts/complete-lock.mjs            adds what is missing
 *   node scripts/complete-lock.mjs --check    only says what is missing; exit code 1 when something is
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './steps.mjs';

const systems = [
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
];
/** Longer names first: `arm64` is no `arm`. */
const processors = [
  'arm64',
  'armv7',
  'arm',
  'ia32',
  'loong64',
  'mips64el',
  'ppc64',
  'riscv64',
  's390x',
  'x64',
  'wasm32',
];

/** npm's `os`, `cpu` and `libc` fields, read from a name like `@oxlint/binding-linux-arm64-musl`. */
export function platformOf(name) {
  const words = name.split('/').at(-1).split('-');
  const system = systems.find((candidate) => words.includes(candidate));
  const processor = processors.find((candidate) => words.includes(candidate));
  const libc = words.includes('musl') ? 'musl' : words.includes('gnu') ? 'glibc' : undefined;
  return {
    ...(processor && { cpu: [processor === 'armv7' ? 'arm' : processor] }),
    ...(system && { os: [system] }),
    ...(libc && { libc: [libc] }),
  };
}

/** Entries for optional dependencies that no folder of the lock file provides. */
export function missingEntries(packages) {
  const missing = {};
  for (const [location, entry] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const nested = `${location}/node_modules/${name}`;
      const hoisted = `node_modules/${name}`;
      if (packages[nested] !== undefined || packages[hoisted] !== undefined) continue;
      if (!/^\d+\.\d+\.\d+/.test(version)) continue; // a range: npm itself has to choose
      const { cpu, ...rest } = platformOf(name);
      missing[hoisted] = {
        version,
        ...(cpu && { cpu }),
        ...(entry.dev && { dev: true }),
        optional: true,
        ...rest,
      };
    }
  }
  return missing;
}

if (process.argv[1] === import.meta.filename) {
  const path = join(root, 'package-lock.json');
  const lock = JSON.parse(readFileSync(path, 'utf8'));
  const missing = missingEntries(lock.packages);
  const names = Object.keys(missing);
  if (process.argv.includes('--check')) {
    for (const name of names)
      console.error(`${name}: not in package-lock.json. Run: node scripts/complete-lock.mjs`);
    process.exitCode = names.length === 0 ? 0 : 1;
  } else if (names.length > 0) {
    const all = Object.entries({ ...lock.packages, ...missing });
    lock.packages = Object.fromEntries(all.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
    writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
    console.log(`${names.length} optional packages added`);
  }
}
