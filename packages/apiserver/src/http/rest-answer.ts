/**
 * The REST layer's answers on the wire, in the representation the client asked for.
 */
import type { IncomingMessage } from 'node:http';
import type { RestResponse } from '../rest/contract.js';
import type { Exchange } from './exchange.js';
import type { Representation } from './negotiation.js';
import type { RepresentationContext } from './representation.js';
import {
  convertList,
  convertObject,
  encode,
  listMetadata,
  parseStored,
  wholeList,
} from './representation.js';
import { sendBody, sendJsonList } from './respond.js';

const HUMAN_AGENT = /^(?:curl|Wget|Mozilla\/5\.0)/;

/** People read what browsers and curl show; programs do not. */
function wantsPretty(request: IncomingMessage, query: URLSearchParams | undefined): boolean {
  const asked = query?.get('pretty') ?? null;
  if (asked !== null) return asked !== 'false' && asked !== '0';
  return HUMAN_AGENT.test(request.headers['user-agent'] ?? '');
}

/** A list: the bytes of its items joined, unless another representation is wanted. */
export async function answerList(
  exchange: Exchange,
  answer: Extract<RestResponse, { kind: 'list' }>,
  representation: Representation,
  context: RepresentationContext,
): Promise<void> {
  const { request, response } = exchange;
  const { format, convert } = representation;
  if (format === 'json' && convert === undefined) {
    const { group, version, listKind } = answer.resource;
    const head = `{"kind":${JSON.stringify(listKind)},"apiVersion":${JSON.stringify(group === '' ? version : `${group}/${version}`)},"metadata":${JSON.stringify(listMetadata(answer))},"items":[`;
    await sendJsonList(request, response, Buffer.from(head), answer.items, Buffer.from(']}\n'));
    return;
  }
  const objects = answer.items.map(parseStored);
  const list =
    convert === undefined
      ? wholeList(objects, answer, answer.resource)
      : convertList(objects, answer, convert, context);
  const { contentType, body } = encode(list, format);
  await sendBody(request, response, 200, contentType, body);
}

/** One object: its bytes as they are, unless another representation is wanted. */
export async function answerObject(
  exchange: Exchange,
  answer: Extract<RestResponse, { kind: 'object' }>,
  representation: Representation,
  context: RepresentationContext,
  warnings: readonly string[],
): Promise<void> {
  const { request, response } = exchange;
  const { format, convert } = representation;
  const all = answer.warnings.length === 0 ? warnings : [...warnings, ...answer.warnings];
  if (format === 'json' && convert === undefined && !wantsPretty(request, exchange.query)) {
    await sendBody(request, response, answer.code, 'application/json', answer.object, all);
    return;
  }
  const object = parseStored(answer.object);
  const value = convert === undefined ? object : convertObject(object, convert, context, true);
  if (format === 'json' && wantsPretty(request, exchange.query)) {
    const body = Buffer.from(`${JSON.stringify(value, null, 2)}\n`);
    await sendBody(request, response, answer.code, 'application/json', body, all);
    return;
  }
  const { contentType, body } = encode(value as Parameters<typeof encode>[0], format);
  await sendBody(request, response, answer.code, contentType, body, all);
}
