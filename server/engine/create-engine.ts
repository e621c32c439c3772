/** The engine: one loop a run, and the verbs that gateways call. */
import { TributaryError, parse } from '../../protocol/errors.js';
import type { Assignment } from '../../protocol/messages.js';
import { plainName } from '../../protocol/model.js';
import type { Role } from '../../protocol/run.js';
import type { EvaluationReport, Receipt } from '../../protocol/update.js';
import { referenceKernels } from '../core/kernels/reference.js';
import type { AssignmentRecord, Client, Presence, Run, StagedBlob } from '../core/ports.js';
import { inlineAggregator } from './aggregator.js';
import { assignmentMessage } from './assignments.js';
import { isOpen } from '../core/round.js';
import { createRun } from './creation.js';
import type { Engine, EngineParts, EngineTools } from './engine.js';
import { maxUploadBytes, submit } from './intake.js';
import { loadOwnRule } from './own-rules.js';
import { stop } from './perform.js';
import { releaseEnded } from './recovery.js';
import { RunLoop } from './run-loop.js';
import { composedRule, loadRuleOf } from './run-rule.js';
import { rememberedStates } from './states.js';
import { hashToken, newToken } from './tokens.js';
import { UnderWay } from './under-way.js';

export function createEngine(engineParts: EngineParts): Engine {
  const { kernels = referenceKernels } = engineParts;
  const parts: EngineTools = {
    ...engineParts,
    kernels,
    aggregator: engineParts.aggregator ?? inlineAggregator({ ...engineParts, kernels }),
    stateOf: rememberedStates(engineParts.blobs),
  };
  const { store, clock, log } = parts;
  const loops = new Map<string, RunLoop>();
  const receiving = new UnderWay();
  let closed = false;

  const loopOf = (runId: string): RunLoop => {
    const loop = loops.get(runId) ?? new RunLoop(runId, parts);
    loops.set(runId, loop);
    return loop;
  };

  /** Something happened in a run. After `close` nothing does: the storage may be gone. */
  const poke = (runId: string): void => {
    if (!closed) loopOf(runId).poke();
  };

  const runOf = async (runId: string): Promise<Run> => {
    const run = await store.run(runId);
    if (!run) throw new TributaryError('run_not_found', `there is no run "${runId}"`);
    return run;
  };

  /** A run whose rule is asked at once, for one of its clients: it is loaded. */
  const readyRun = async (runId: string): Promise<Run> => {
    const run = await runOf(runId);
    await loadRuleOf(run, parts.ruleModules);
    return run;
  };

  /** The same answer for an assignment of somebody else as for none: ids reveal nothing. */
  const assignmentOf = async (client: Client, id: string): Promise<AssignmentRecord> => {
    const record = await store.assignment(id);
    if (record?.runId !== client.runId || record.clientId !== client.id) {
      throw new TributaryError('assignment_unknown', `this client has no assignment "${id}"`);
    }
    return record;
  };

  const trainingOf = async (client: Client, id: string): Promise<AssignmentRecord> => {
    const record = await assignmentOf(client, id);
    if (record.kind !== 'train') {
      throw new TributaryError('assignment_unknown', `assignment "${id}" takes no update`);
    }
    return record;
  };

  const receive = async (client: Client, id: string, staged: StagedBlob): Promise<Receipt> => {
    let record: AssignmentRecord;
    let run: Run;
    try {
      record = await trainingOf(client, id);
      run = await readyRun(record.runId);
    } catch (error) {
      await staged.discard();
      throw error;
    }
    const receipt = await submit(run, record, staged, parts);
    poke(client.runId);
    return receipt;
  };

  return {
    async start() {
      for (const run of await store.runs()) {
        if (run.status === 'running') {
          poke(run.id);
          log.info({ runId: run.id }, 'run taken up');
        } else {
          await releaseEnded(run, parts);
        }
      }
    },

    async close() {
      closed = true;
      await Promise.all([receiving.settled(), ...[...loops.values()].map((loop) => loop.close())]);
    },

    async createRun(input) {
      const run = await createRun(input, clock.now(), parts);
      poke(run.id);
      return run;
    },

    async stopRun(runId, reason) {
      for (;;) {
        const run = await runOf(runId);
        const round = await store.currentRound(runId);
        if (run.status !== 'running' || !round) {
          throw new TributaryError('run_over', `run "${runId}" is ${run.status} already`);
        }
        // It ended between the two looks: the next one finds the run over too.
        if (round.closedAt !== null) continue;
        const scene = { run, round, parts };
        if (await stop(scene, reason, () => loopOf(runId).stop())) break;
      }
      poke(runId);
      return runOf(runId);
    },

    enrol: inTurn(async (runId: string, name: string, role: Role) => {
      const run = await runOf(runId);
      if (run.status !== 'running') {
        throw new TributaryError('run_over', `run "${runId}" is ${run.status}`);
      }
      await loadOwnRule(run.spec, parts.ruleModules);
      const client: Client = { runId, id: parse(plainName, name, 'client name'), role };
      await refuseSecondTarget(run, client);
      const token = newToken();
      const event = { at: clock.now(), type: 'client-enrolled', body: { client: client.id, role } };
      await store.enrol(client, hashToken(token), event);
      return { client, token };
    }),

    authenticate: (token) => store.clientByToken(hashToken(token)),

    joined(presence: Presence) {
      if (!closed) loopOf(presence.runId).joined(presence.id);
    },

    left(client) {
      if (!closed) loopOf(client.runId).left(client.id);
    },

    async openAssignments(client) {
      const [run, round] = [await runOf(client.runId), await store.currentRound(client.runId)];
      if (!round || run.status !== 'running') return [];
      await loadRuleOf(run, parts.ruleModules);
      const records = await store.assignments(run.id, round.number, round.attempt);
      const open = records.filter((a) => a.clientId === client.id && isOpen(a, round));
      const remainingMs = (round.deadline ?? clock.now()) - clock.now();
      const messages = await Promise.all(
        open.map(async (record): Promise<Assignment[]> => {
          const checkpoint = await store.checkpoint(run.id, record.baseVersion);
          return checkpoint ? [assignmentMessage(run, record, checkpoint, remainingMs)] : [];
        }),
      );
      return messages.flat();
    },

    async decline(client, assignmentId, reason) {
      const record = await assignmentOf(client, assignmentId);
      log.warn({ runId: client.runId, client: client.id, round: record.round, reason }, 'declined');
      await store.drop(assignmentId);
      poke(client.runId);
    },

    async maxUploadBytes(client, assignmentId) {
      const record = await trainingOf(client, assignmentId);
      return maxUploadBytes(await readyRun(record.runId), record.role);
    },

    async weightGiven(client, assignmentId) {
      const { update } = await assignmentOf(client, assignmentId);
      return { weight: update?.weight ?? null, sha256: update?.sha256 ?? null };
    },

    submit: (client, assignmentId, staged) =>
      receiving.track(receive(client, assignmentId, staged)),

    async report(client, assignmentId, report: EvaluationReport) {
      const record = await assignmentOf(client, assignmentId);
      if (record.kind !== 'evaluate') {
        throw new TributaryError(
          'assignment_unknown',
          `assignment "${assignmentId}" takes no evaluation`,
        );
      }
      const taken = await store.report(assignmentId, report);
      poke(client.runId);
      return taken;
    },

    now: (runId) => loops.get(runId)?.now ?? 'not running',
  };

  async function refuseSecondTarget(run: Run, client: Client): Promise<void> {
    if (client.role !== 'target' || !composedRule(run.spec).needs.target) return;
    const other = (await store.clients(run.id)).find(
      ({ role }: { role: Role }) => role === 'target',
    );
    if (other) {
      const message = `the rule "${run.spec.rule.name}" works with one target, and "${other.id}" is it`;
      throw new TributaryError('conflict', message);
    }
  }
}

/** One call after the other: two targets that are enrolled at once must see each other. */
function inTurn<A extends unknown[], R>(work: (...args: A) => Promise<R>): typeof work {
  let last: Promise<unknown> = Promise.resolve();
  return (...args) => {
    const result = last.then(() => work(...args));
    last = result.catch(() => undefined);
    return result;
  };
}
