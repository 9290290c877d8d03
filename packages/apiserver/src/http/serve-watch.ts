/**
 * A watch from the REST layer to the wire, in the representation the client asked for, until either side ends it.
 */
import { encodeKubeProtobuf, encodeWatchFrame, type JsonObject, type KubeObject } from '@waxseal/api-types';
import type { RestResponse, RestWatchEvent } from '../rest/contract.js';
import type { Exchange } from './exchange.js';
import type { Representation } from './negotiation.js';
import { MEDIA_TYPES } from './negotiation.js';
import type { RepresentationContext } from './representation.js';
import { convertObject, parseStored } from './representation.js';
import type { EncodeEvent, WatchLimits } from './watch-stream.js';
import { createWatchStream, encodeJsonEvent } from './watch-stream.js';

export interface ServeWatchOptions {
  readonly watchLimits: WatchLimits;
  /** Told the function that ends the watch at shutdown; returns what to call when it is over. */
  onWatch(end: () => void): () => void;
  onOverflow(reason: string): void;
}

/** Columns go with the first event only. */
function createEncoder(representation: Representation, context: RepresentationContext): EncodeEvent {
  const { format, convert } = representation;
  if (format === 'json' && convert === undefined) return encodeJsonEvent;
  let withColumns = true;
  const converted = ({ type, object }: RestWatchEvent): JsonObject | KubeObject => {
    const parsed = parseStored(object);
    if (convert === undefined || type === 'ERROR') return parsed;
    const as = convert.kind === 'PartialObjectMetadataList' ? 'PartialObjectMetadata' : convert.kind;
    const result = convertObject(parsed, { ...convert, kind: as }, context, withColumns);
    withColumns = false;
    return result;
  };
  if (format === 'protobuf') {
    return (event) => [
      encodeWatchFrame(event.type, encodeKubeProtobuf(converted(event) as unknown as KubeObject)),
    ];
  }
  return (event) =>
    encodeJsonEvent({ type: event.type, object: Buffer.from(JSON.stringify(converted(event))) });
}

/** Resolves when the watch is over. */
export function serveWatch(
  exchange: Exchange,
  watch: Extract<RestResponse, { kind: 'watch' }>,
  representation: Representation,
  context: RepresentationContext,
  options: ServeWatchOptions & { readonly timeoutMs: number },
): Promise<void> {
  const { response } = exchange;
  // A wrong includeObject is refused while a status can still be sent.
  if (representation.convert?.kind === 'Table') void context.includeObject;
  const contentType =
    representation.format === 'json'
      ? MEDIA_TYPES.json
      : `${MEDIA_TYPES[representation.format]};stream=watch`;
  response.writeHead(200, ['Content-Type', contentType, 'Cache-Control', 'no-cache, private']);
  // The client learns that its watch stands before anything happens.
  response.flushHeaders();

  const stream = createWatchStream(
    response,
    createEncoder(representation, context),
    options.watchLimits,
    (reason) => options.onOverflow(reason),
  );
  return new Promise((resolve) => {
    const timer = setTimeout(() => stream.end(), options.timeoutMs);
    const over = options.onWatch(() => stream.end());
    const stop = watch.start(stream);
    response.on('close', () => {
      clearTimeout(timer);
      over();
      stop();
      resolve();
    });
  });
}
