/** What a run will ask of a client, told before anything is done, so that its site may refuse. */
import type { Plan } from '../../protocol/http.js';
import type { Client, Run } from '../core/records.js';
import { trainingFor } from './local-training.js';
import { composedRule, vectorsFor } from './run-rule.js';

/** A rule from a module must have been loaded before. @throws TributaryError as `composedRule`. */
export function planFor(
  { id: runId, spec }: Pick<Run, 'id' | 'spec'>,
  { role }: Pick<Client, 'role'>,
): Plan {
  const rule = composedRule(spec);
  const trains = role !== 'evaluator';
  const { name, options, module = null } = spec.rule;
  return {
    runId,
    name: spec.name,
    role,
    rule: { name, options, module },
    rounds: spec.rounds,
    join: spec.join,
    keepUpdates: spec.keepUpdates,
    training: trainingFor(spec, rule, role),
    vectors: trains ? vectorsFor(rule.needs, role).map(({ name, many }) => ({ name, many })) : [],
    metrics: trains ? [...(rule.needs.metrics ?? [])] : [],
    answers: role === 'target' && spec.oracle?.kind === 'client',
  };
}
