/** The Store contract on LMDB, with a clock that the tests move. */
import { storeContract } from '../contract/suite.js';
import { MAX_LMDB_KEY_BYTES } from './table.js';
import { FakeClock } from './testing/fake-clock.js';
import { temporaryDirectory } from './testing/temporary-directory.js';
import { openLmdbStore } from './open.js';

const clock = new FakeClock();

storeContract('lmdb', async (t) => openLmdbStore({ path: await temporaryDirectory(t), clock }), {
  passTime: (seconds) => clock.advance(seconds * 1000),
  maxKeyBytes: MAX_LMDB_KEY_BYTES - 10,
});
