/** Loaded before a server (`node --expose-gc --import`): tells its parent what is left after a garbage collection. */
process.on('message', () => {
  globalThis.gc?.();
  const { rss, heapUsed } = process.memoryUsage();
  process.send?.({ rss, heapUsed });
});
// Listening for questions must not keep the server alive.
process.channel?.unref();
