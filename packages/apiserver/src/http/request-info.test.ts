import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRequestInfo } from './request-info.js';

function summary(method: string, url: string): string {
  const [path = '', query] = url.split('?');
  const info = parseRequestInfo(method, path, query === undefined ? undefined : new URLSearchParams(query));
  const { isResource, verb, group, version, namespace, resource, subresource, name } = info;
  return isResource
    ? [verb, group, version, namespace, resource, subresource, name].join('|')
    : `path ${verb}`;
}

test('paths of objects become verb, group, version, namespace, resource, subresource and name', () => {
  const cases: readonly [string, string, string][] = [
    ['GET', '/api/v1/namespaces', 'list||v1||namespaces||'],
    ['POST', '/api/v1/namespaces', 'create||v1||namespaces||'],
    ['GET', '/api/v1/namespaces/ns', 'get||v1|ns|namespaces||ns'],
    ['PUT', '/api/v1/namespaces/ns/status', 'update||v1|ns|namespaces|status|ns'],
    ['PUT', '/api/v1/namespaces/ns/finalize', 'update||v1|ns|namespaces|finalize|ns'],
    ['GET', '/api/v1/namespaces/ns/secrets', 'list||v1|ns|secrets||'],
    ['GET', '/api/v1/namespaces/ns/secrets?watch=true', 'watch||v1|ns|secrets||'],
    ['GET', '/api/v1/namespaces/ns/secrets?watch=1', 'watch||v1|ns|secrets||'],
    ['GET', '/api/v1/namespaces/ns/secrets?watch=false', 'list||v1|ns|secrets||'],
    ['GET', '/api/v1/secrets', 'list||v1||secrets||'],
    ['GET', '/api/v1/secrets/', 'list||v1||secrets||'],
    ['DELETE', '/api/v1/namespaces/ns/secrets', 'deletecollection||v1|ns|secrets||'],
    ['DELETE', '/api/v1/namespaces/ns/secrets/x', 'delete||v1|ns|secrets||x'],
    ['PATCH', '/api/v1/namespaces/ns/secrets/x', 'patch||v1|ns|secrets||x'],
    ['POST', '/api/v1/namespaces/ns/serviceaccounts/x/token', 'create||v1|ns|serviceaccounts|token|x'],
    [
      'GET',
      '/apis/rbac.authorization.k8s.io/v1/clusterroles/x',
      'get|rbac.authorization.k8s.io|v1||clusterroles||x',
    ],
    ['GET', '/apis/apps/v1/namespaces/ns/deployments/x/scale', 'get|apps|v1|ns|deployments|scale|x'],
    ['GET', '/api/v1/namespaces/ns/secrets?fieldSelector=metadata.name%3Dx', 'list||v1|ns|secrets||x'],
    ['GET', '/api/v1/namespaces/ns/secrets?fieldSelector=metadata.name%3D..', 'list||v1|ns|secrets||'],
    [
      'GET',
      '/api/v1/namespaces/ns/secrets?fieldSelector=metadata.name%3Dx,type%3Dy',
      'list||v1|ns|secrets||',
    ],
    ['OPTIONS', '/api/v1/secrets', '||v1||secrets||'],
  ];
  for (const [method, url, expected] of cases) assert.equal(summary(method, url), expected, url);
});

test('everything else is a path', () => {
  for (const path of [
    '/',
    '',
    '/api',
    '/api/v1',
    '/apis',
    '/apis/apps',
    '/apis/apps/v1',
    '/healthz',
    '/openapi/v3',
  ]) {
    assert.equal(summary('GET', path), 'path get', path);
  }
  assert.equal(summary('POST', '/version'), 'path post');
});

test('path elements beyond the subresource are seen', () => {
  assert.equal(parseRequestInfo('GET', '/api/v1/namespaces/n/secrets/x/y/z', undefined).hasMore, true);
  assert.equal(parseRequestInfo('GET', '/api/v1/namespaces/n/secrets/x/y', undefined).hasMore, false);
});
