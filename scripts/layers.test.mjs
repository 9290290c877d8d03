/**
 * The layer table of ARCHITECTURE.md as a test: lower packages never import higher ones, nothing reaches into another
 * package's files, and every import is declared.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from './steps.mjs';

/** package → packages of ours it may import. */
const mayImport = {
  'api-types': [],
  envelope: [],
  'kms-api': [],
  'encryption-config': ['envelope', 'kms-api'],
  storage: [],
  pkcs11: [],
  'key-service': ['storage', 'pkcs11'],
  'kms-plugin': ['kms-api', 'pkcs11'],
  apiserver: ['api-types', 'storage', 'envelope', 'encryption-config'],
  ops: ['api-types', 'storage', 'envelope', 'encryption-config'],
  cli: [
    'api-types',
    'envelope',
    'kms-api',
    'encryption-config',
    'storage',
    'pkcs11',
    'key-service',
    'kms-plugin',
    'apiserver',
    'ops',
  ],
};

const packages = readdirSync(join(root, 'packages'));
const sources = (name) =>
  readdirSync(join(root, 'packages', name, 'src'), { recursive: true })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => ({ path, text: readFileSync(join(root, 'packages', name, 'src', path), 'utf8') }));

/** Import and export statements, and dynamic imports; what stands in strings is no import. */
const specifiers = (text) => [
  ...[...text.matchAll(/^(?:import\b[^'\n]*|export (?:type )?[*{][^'\n]*|\} from )'([^'\n]+)';/gm)].map(
    (match) => match[1],
  ),
  ...[...text.matchAll(/\bimport\('([^'\n]+)'\)/g)].map((match) => match[1]),
];

test('every package stands in the layer table', () => {
  assert.deepEqual(
    packages.filter((name) => !(name in mayImport)),
    [],
  );
});

for (const name of packages) {
  const manifest = JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8'));
  const declared = { ...manifest.dependencies, ...manifest.optionalDependencies };
  const declaredForTests = { ...declared, ...manifest.devDependencies };

  test(`${name} imports only what its layer may`, () => {
    const wrong = [];
    for (const { path, text } of sources(name)) {
      const isTest =
        path.endsWith('.test.ts') ||
        path.split('/').includes('testing') ||
        path.split('/').includes('contract');
      for (const specifier of specifiers(text)) {
        if (specifier.startsWith('node:')) continue;
        if (specifier.startsWith('.')) continue;
        const parts = specifier.split('/');
        const packageName = specifier.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0];
        const ours = packageName.startsWith('@waxseal/') ? packageName.slice('@waxseal/'.length) : undefined;
        const forTests = isTest && specifier === `${packageName}/testing`;
        if (ours !== undefined && specifier !== packageName && !forTests)
          wrong.push(`${path}: ${specifier} reaches into a package`);
        if (ours !== undefined && !mayImport[name].includes(ours))
          wrong.push(`${path}: ${specifier} is not below ${name}`);
        const known = isTest ? { ...declaredForTests, 'fast-check': true } : declared;
        if (!(packageName in known)) wrong.push(`${path}: ${packageName} is not declared in package.json`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  test(`${name} references the projects it imports`, () => {
    const config = JSON.parse(readFileSync(join(root, 'packages', name, 'tsconfig.json'), 'utf8'));
    const referenced = (config.references ?? []).map(({ path }) => path.replace('../', '')).toSorted();
    const imported = Object.keys(declaredForTests)
      .filter((dependency) => dependency.startsWith('@waxseal/'))
      .map((dependency) => dependency.slice('@waxseal/'.length))
      .toSorted();
    assert.deepEqual(referenced, imported);
  });

  test(`${name} has a README`, () => {
    assert.match(readFileSync(join(root, 'packages', name, 'README.md'), 'utf8'), /^# /);
  });
}
