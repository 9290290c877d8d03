/** Lets promises that are ready do their part. */
export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
