/** Updates of the plain task that arrive whole and must be refused for what is in them. */
import type { UpdateParts } from '../support/updates.js';
import { encode, withFacts, withoutTensor, withTensor } from '../support/updates.js';

/** A case: the bytes to send in place of a good update, and the answer that is due. */
export interface BadContent {
  readonly what: string;
  readonly bytes: (good: UpdateParts) => Uint8Array;
  readonly code: string;
  readonly status: number;
  /** What the message must name. */
  readonly says: RegExp;
}

function content(
  what: string,
  change: (good: UpdateParts) => UpdateParts,
  code: string,
  says: RegExp,
): BadContent {
  return { what, bytes: (good) => encode(change(good)), code, status: 422, says };
}

const kernel = (...values: number[]) => ({
  shape: [3, 2],
  data: Float32Array.from({ length: 6 }, (_, i) => values.at(i) ?? 0.125),
});

const examples = (text: string | null) => (good: UpdateParts) =>
  withFacts(good, { numExamples: text });

const metrics = (text: string) => (good: UpdateParts) => withFacts(good, { metrics: text });

/** One of each kind. */
export const badContents: readonly BadContent[] = [
  content(
    'a wrong shape',
    (good) => withTensor(good, 'kernel', { shape: [2, 3], data: new Float32Array(6) }),
    'wrong_shape',
    /delta\/kernel.*\[2, 3\].*\[3, 2\]/,
  ),
  content(
    'a shape that would broadcast',
    (good) => withTensor(good, 'kernel', { shape: [1, 2], data: new Float32Array(2) }),
    'wrong_shape',
    /delta\/kernel/,
  ),
  content(
    'a vector of one for a scalar',
    (good) => withTensor(good, 'temperature', { shape: [1], data: new Float32Array(1) }),
    'wrong_shape',
    /delta\/temperature/,
  ),
  content(
    'NaN',
    (good) => withTensor(good, 'kernel', kernel(0, 0, 0, NaN)),
    'not_finite',
    /element 3 .*is NaN/,
  ),
  content(
    'infinity',
    (good) => withTensor(good, 'kernel', kernel(-Infinity)),
    'not_finite',
    /-Infinity/,
  ),
  content(
    'NaN in a buffer',
    (good) => withTensor(good, 'running-mean', { shape: [2], data: new Float32Array([0, NaN]) }),
    'not_finite',
    /NaN/,
  ),
  content(
    'float64',
    (good) => withTensor(good, 'bias', { shape: [2], data: new Float64Array(2) }),
    'wrong_dtype',
    /delta\/bias.*F64/,
  ),
  content(
    'a tensor too many',
    (good) => withTensor(good, 'backdoor', { shape: [1], data: new Float32Array(1) }),
    'wrong_tensors',
    /delta\/backdoor/,
  ),
  content(
    'a frozen tensor',
    (good) => withTensor(good, 'vocabulary', { shape: [4], data: new Float32Array(4) }),
    'wrong_tensors',
    /delta\/vocabulary/,
  ),
  content(
    'a tensor too few',
    (good) => withoutTensor(good, 'bias'),
    'wrong_tensors',
    /delta\/bias/,
  ),
  content(
    'a value over the cap',
    (good) => withTensor(good, 'kernel', kernel(0, 8.001)),
    'over_cap',
    /deltaMax.* 8/,
  ),
  content('a negative number of examples', examples('-5'), 'bad_facts', /numExamples/),
  content('no examples', examples('0'), 'bad_facts', /numExamples/),
  content('half an example', examples('10.5'), 'bad_facts', /numExamples/),
  content('infinitely many examples', examples('1e400'), 'bad_facts', /numExamples/),
  content('an unsafe number of examples', examples('1e300'), 'bad_facts', /numExamples/),
  content('more examples than the cap', examples('200000'), 'over_cap', /131072/),
  content('an absurd number of examples', examples('4000000000'), 'over_cap', /numExamples/),
  content('examples as text', examples('"10"'), 'bad_facts', /numExamples/),
  content('no word of examples', examples(null), 'bad_facts', /numExamples/),
  content('no steps', (good) => withFacts(good, { numSteps: '0' }), 'bad_facts', /numSteps/),
  content('a metric of NaN', metrics('{"loss":NaN}'), 'bad_facts', /not JSON/),
  content('an infinite metric', metrics('{"loss":1e400}'), 'bad_facts', /metrics\.loss/),
  content('a metric that is no number', metrics('{"loss":"low"}'), 'bad_facts', /metrics\.loss/),
  content(
    'facts that nobody asked for',
    (good) => withFacts(good, { clientId: '"somebody else"' }),
    'bad_facts',
    /clientId/,
  ),
  content(
    'the id of another assignment inside',
    (good) => withFacts(good, { assignmentId: '"0123456789abcdef0123456789abcdef"' }),
    'bad_facts',
    /another assignment/,
  ),
  {
    what: 'no safetensors',
    bytes: () => Buffer.from('PK\u0003\u0004 this is something else altogether'),
    code: 'bad_safetensors',
    status: 422,
    says: /header/,
  },
  {
    what: 'nothing',
    bytes: () => Buffer.alloc(0),
    code: 'bad_safetensors',
    status: 422,
    says: /0/,
  },
  {
    what: 'a file that ends in the middle of its data',
    bytes: (good) => encode(good).subarray(0, -5),
    code: 'bad_safetensors',
    status: 422,
    says: /./,
  },
];
