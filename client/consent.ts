/** The site's word on taking part: asked before anything is done, and again when that would change. */
import { identity, plan as planSchema } from '../protocol/http.js';
import type { Plan } from '../protocol/http.js';
import type { Assignment } from '../protocol/messages.js';
import type { Context } from './context.js';
import { objectionTo } from './objections.js';
import type { SitePolicy } from './policy.js';
import { refusedBySite, roundsObjection } from './policy.js';
import type { Offer, ReviewFunction, ReviewRequest } from './review.js';
import { keyOf, reviewRequest } from './review.js';
import { Turns } from './turns.js';

/** The site takes no part in this run, or not any more. */
export class SiteRefusal extends Error {
  override readonly name = 'SiteRefusal';

  constructor(readonly why: string) {
    super(refusedBySite(why));
  }
}

export interface Terms {
  readonly policy?: SitePolicy | undefined;
  readonly review?: ReviewFunction | undefined;
}

export class Consent {
  /** One review at a time: a person answers one question after the other. */
  readonly #turns = new Turns();
  readonly #granted = new Set<string>();
  #plan: Plan | undefined;
  #refusal: SiteRefusal | undefined;

  constructor(
    private readonly terms: Terms,
    private readonly offer: Offer,
    private readonly context: Context,
  ) {}

  get policy(): SitePolicy {
    return this.terms.policy ?? {};
  }

  /** Why the site takes no part; null while it does. */
  get refusal(): string | null {
    return this.#refusal?.why ?? null;
  }

  /**
   * Asks before the client connects: a site that has not made up its mind is not there, and no round
   * waits for it. Nothing is asked where there are neither policy nor review.
   *
   * @throws TributaryError where the coordinator refuses to say what it wants; the signal's reason.
   */
  async preview(signal: AbortSignal): Promise<void> {
    if (!this.terms.policy && !this.terms.review) return;
    const { http } = this.context;
    const ask = () => http.getJson('/v1/me', identity, signal);
    const { runId } = await this.context.repeat('review', ask, signal);
    const path = `/v1/runs/${encodeURIComponent(runId)}/plan`;
    const look = () => http.getJson(path, planSchema, signal);
    this.#plan = await this.context.repeat('review', look, signal);
    await this.#agreeTo(this.#plan, signal).catch((error: unknown) => {
      if (!(error instanceof SiteRefusal)) throw error;
    });
  }

  /**
   * Whether an assignment is what the site agreed to; asks again where it is something else.
   *
   * @throws SiteRefusal; what the task's download throws; the signal's reason.
   */
  async cover(
    { runId, round, kind, training, vectors }: Assignment,
    signal: AbortSignal,
  ): Promise<void> {
    const plan = this.#plan;
    if (!plan) return;
    this.#throwIfElsewhere(runId);
    const objection = roundsObjection(round, this.policy);
    if (objection !== null) this.#refuse(objection);
    if (kind === 'evaluate') this.#throwIfRefused();
    else await this.#agreeTo({ ...plan, training, vectors: known(vectors, plan) }, signal);
  }

  /** @throws SiteRefusal where a question is put that the plan did not speak of, or of another run. */
  coverAnswer(runId: string): void {
    this.#throwIfRefused();
    this.#throwIfElsewhere(runId);
    if (this.#plan && !this.#plan.answers)
      this.#refuse('it asks for loss and gradient, and its plan did not say so');
  }

  #agreeTo(plan: Plan, signal: AbortSignal): Promise<void> {
    const agree = async () => {
      this.#throwIfRefused();
      const task = await this.context.task(plan.runId, signal);
      const request = await reviewRequest(plan, task, this.offer, this.policy);
      const key = keyOf(request);
      if (this.#granted.has(key)) return;
      const refusal = objectionTo(request, this.policy) ?? (await this.#reviewed(request));
      this.context.report({ type: 'reviewed', request, refusal });
      if (refusal !== null) this.#refuse(refusal);
      this.#granted.add(key);
    };
    return this.#turns.take(agree, signal);
  }

  async #reviewed(request: ReviewRequest): Promise<string | null> {
    if (!this.terms.review) return null;
    try {
      return (await this.terms.review(request)) ? null : 'the review did not agree';
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  #refuse(why: string): never {
    this.#refusal ??= new SiteRefusal(why);
    throw this.#refusal;
  }

  #throwIfElsewhere(runId: string): void {
    const agreed = this.#plan?.runId ?? runId;
    if (runId !== agreed) this.#refuse(`it is of run "${runId}", and not of "${agreed}"`);
  }

  #throwIfRefused(): void {
    if (this.#refusal) throw this.#refusal;
  }
}

/** The plan says which are families; of one that it did not name, as many may come as can be. */
function known(names: readonly string[], { vectors }: Plan): Plan['vectors'] {
  return names.map((name) => vectors.find((each) => each.name === name) ?? { name, many: true });
}
