/** What the table of calls says of one call. */
import type { ErrorCode } from '../errors.js';
import type { answerSchemas, bodySchemas } from './schemas.js';

/**
 * `reader`: a client of the run, or an operator. Roles of operators include those before: `viewer`
 * reads, `operator` also runs, `admin` also manages operators.
 */
export type Who = 'anyone' | 'viewer' | 'operator' | 'admin' | 'client' | 'reader';

/** Bytes: a file in the format safetensors, unless the call says otherwise. */
export type Bytes = 'bytes';

export interface ApiRoute {
  readonly method: 'get' | 'put' | 'post';
  /** As Express writes it: `/v1/runs/:run`. */
  readonly path: string;
  /** Unique; generated clients name their functions by it. */
  readonly id: string;
  readonly who: Who;
  readonly summary: string;
  readonly body?: keyof typeof bodySchemas | Bytes;
  /** Parameters after the question mark; none is required. */
  readonly query?: Readonly<Record<string, string>>;
  /** Status and content where all is well; `text` is plain text, `json` any JSON. */
  readonly answer: readonly [
    status: 200 | 201,
    content: keyof typeof answerSchemas | Bytes | 'text' | 'json',
  ];
  /** Errors of this call, beside those that follow from who may make it and what it takes. */
  readonly codes?: readonly ErrorCode[];
}
