/** What a site is shown before it takes part: what would be run on its data, and what would leave it. */
import { canonicalJson } from '../protocol/canonical-json.js';
import type { Plan } from '../protocol/http.js';
import type { Task, TensorSpec, TrainingConfig } from '../protocol/model.js';
import { elements } from '../protocol/model.js';
import type { Role } from '../protocol/run.js';
import { DELTA, tensorKey } from '../protocol/update.js';
import { sha256Of } from './digest.js';
import { deltaTensors, sharedTensors } from './params.js';
import type { SitePolicy } from './policy.js';

export interface LeavingTensor {
  /** In the file: `delta/dense/kernel`. `batch.*` stands for each member of a family. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly bytes: number;
}

export interface Leaves {
  /** Of one update; none where this client does not train. */
  readonly tensors: readonly LeavingTensor[];
  /** Their sum. */
  readonly bytes: number;
  /** Numbers that every update says of itself. */
  readonly facts: readonly ['numExamples', 'numSteps'];
  /** What may leave by the site's policy; null: whatever `train` and `evaluate` report. */
  readonly metrics: readonly string[] | null;
  /** Loss and gradient on local data, whenever the rule asks for them. */
  readonly answers: boolean;
  /** Norm that updates are scaled down to, by the site's policy; null: sent as they are. */
  readonly clipNorm: number | null;
}

export interface ReviewRequest {
  /** `module` of the rule: the sha256 of one that the operator brought. */
  readonly run: Pick<Plan, 'name' | 'rule' | 'rounds' | 'join' | 'keepUpdates'> & {
    readonly id: string;
  };
  readonly role: Role;
  readonly task: Task;
  readonly taskSha256: string;
  /** Of the model's specification alone: names a model in a policy. */
  readonly modelSha256: string;
  /** Of this client, in every round. */
  readonly training: TrainingConfig;
  /** Families of vectors that the rule asks for beside the delta. */
  readonly vectors: readonly string[];
  /** Metrics that the rule cannot do without. */
  readonly neededMetrics: readonly string[];
  readonly encoding: 'float32';
  readonly leaves: Leaves;
}

/**
 * Decides for the site.
 *
 * @returns true to take part; anything else refuses.
 * @throws to refuse with a reason, which the coordinator is told.
 */
export type ReviewFunction = (request: ReviewRequest) => boolean | Promise<boolean>;

/** What this client could do, if it were let. */
export interface Offer {
  readonly trains: boolean;
  readonly answers: boolean;
}

export async function reviewRequest(
  plan: Plan,
  task: Task,
  offer: Offer,
  policy: SitePolicy,
): Promise<ReviewRequest> {
  const { runId: id, name, rule, rounds, join, keepUpdates, role, training, vectors } = plan;
  return {
    run: { id, name, rule, rounds, join, keepUpdates },
    role,
    task,
    taskSha256: await sha256OfJson(task),
    modelSha256: await sha256OfJson(task.model),
    training,
    vectors: vectors.map((vector) => vector.name),
    neededMetrics: plan.metrics,
    encoding: 'float32',
    leaves: leavesOf(plan, task, offer, policy),
  };
}

/** What names this request among others: asked again only where something else would be done. */
export function keyOf(request: ReviewRequest): string {
  return canonicalJson({ ...request, task: undefined });
}

function leavesOf(plan: Plan, { model }: Task, offer: Offer, policy: SitePolicy): Leaves {
  const tensors = offer.trains ? leavingTensors(plan, model.tensors) : [];
  return {
    tensors,
    bytes: tensors.reduce((sum, { bytes }) => sum + bytes, 0),
    facts: ['numExamples', 'numSteps'],
    metrics: policy.metrics ?? null,
    answers: offer.answers && plan.answers,
    clipNorm: policy.clipNorm ?? null,
  };
}

function leavingTensors({ vectors }: Plan, specs: readonly TensorSpec[]): LeavingTensor[] {
  return [
    ...deltaTensors(specs).map((spec) => leaving(DELTA, spec)),
    ...vectors.flatMap(({ name, many }) =>
      sharedTensors(specs).map((spec) => leaving(many ? `${name}.*` : name, spec)),
    ),
  ];
}

function leaving(vector: string, { name, shape }: TensorSpec): LeavingTensor {
  const bytes = elements(shape) * Float32Array.BYTES_PER_ELEMENT;
  return { name: tensorKey(vector, name), shape, bytes };
}

function sha256OfJson(value: unknown): Promise<string> {
  return sha256Of(new TextEncoder().encode(canonicalJson(value)));
}
