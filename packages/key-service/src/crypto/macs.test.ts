// Goal: MACs are those of RFC 4231, and only the whole MAC passes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMac, verifyMac } from './macs.js';

const KEY = Buffer.alloc(20, 0x0b);
const DATA = Buffer.from('Hi There');
const ANSWERS = {
  HMAC_SHA_224: '896fb1128abbdf196832107cd49df33f47b4b1169912ba4f53684b22',
  HMAC_SHA_256: 'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7',
  HMAC_SHA_384:
    'afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6',
  HMAC_SHA_512:
    '87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854',
} as const;

for (const [algorithm, answer] of Object.entries(ANSWERS) as [keyof typeof ANSWERS, string][]) {
  test(`${algorithm}: RFC 4231 §4.2`, () => {
    const mac = createMac(KEY, algorithm, DATA);
    assert.equal(mac.toString('hex'), answer);
    assert.ok(verifyMac(KEY, algorithm, DATA, mac));
    for (let length = 0; length < mac.length; length++) {
      assert.equal(verifyMac(KEY, algorithm, DATA, mac.subarray(0, length)), false);
    }
    mac[0] = (mac[0] as number) ^ 1;
    assert.equal(verifyMac(KEY, algorithm, DATA, mac), false);
  });
}
