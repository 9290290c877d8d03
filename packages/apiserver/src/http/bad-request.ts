/** Bytes that are no object, and objects that are no protobuf, are the client's fault: 400 BadRequest with the codec's own sentence. */
import { DecodeError } from '@waxseal/api-types';
import { ApiError } from '../errors.js';

/** @throws ApiError 400 for what the codecs refuse; everything else as it comes */
export function orBadRequest<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new ApiError(400, 'BadRequest', error.message, undefined, { cause: error });
  }
}
