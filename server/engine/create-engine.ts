/** The engine: one loop a run, and the verbs that gateways call. */
import { TributaryError } from '../../protocol/errors.js';
import type { Assignment } from '../../protocol/messages.js';
import { isLive } from '../../protocol/run.js';
import type { EvaluationReport, Receipt } from '../../protocol/update.js';
import { countedReport } from '../core/admission.js';
import { referenceKernels } from '../core/kernels/reference.js';
import type { Presence, StagedBlob } from '../core/ports.js';
import type { AssignmentRecord, Client, Run } from '../core/records.js';
import type { Round } from '../core/round.js';
import { isOpen, newestVersion } from '../core/round.js';
import { inlineAggregator } from './aggregator.js';
import { assignmentMessage, openIdOf } from './assignments.js';
import { membership } from './clients.js';
import { createRun } from './creation.js';
import { ROOT } from './membership.js';
import { Loops } from './loops.js';
import type { Engine, EngineParts, EngineTools } from './engine.js';
import { maxUploadBytes, submit } from './intake.js';
import type { FixedRun } from './known-runs.js';
import { rememberedRuns, runOf } from './known-runs.js';
import { planFor } from './plan.js';
import { Retention } from './retention.js';
import { runControl } from './run-control.js';
import { loadRuleOf } from './run-rule.js';
import { loadRuleState, rememberedStates } from './states.js';
import { UnderWay } from './under-way.js';

export function createEngine(engineParts: EngineParts): Engine {
  const { store, blobs, clock, log, kernels = referenceKernels } = engineParts;
  const parts: EngineTools = {
    ...engineParts,
    kernels,
    aggregator: engineParts.aggregator ?? inlineAggregator({ ...engineParts, kernels }),
    retention: new Retention(engineParts, engineParts),
    stateAt: rememberedStates(async (runId, version) => {
      const checkpoint = await store.checkpoint(runId, version);
      return loadRuleState(blobs, checkpoint?.stateSha256 ?? null);
    }),
  };
  const { retention } = parts;
  const loops = new Loops(parts);
  const receiving = new UnderWay();
  /** A coordinator that is stopping may come to lead in that very moment. */
  let closed = false;

  const poke = (runId: string): void => loops.poke(runId);

  const knownRun = rememberedRuns(parts);

  /** A run whose rule is asked at once, for one of its clients: it is loaded. */
  const readyRun = async (runId: string): Promise<FixedRun> => {
    const run = await knownRun(runId);
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

  /** What a client has to work on in a round; null where that is nothing. */
  const openAssignment = async (
    run: Run,
    round: Round,
    client: Client,
  ): Promise<Assignment | null> => {
    const id = isLive(run.status) ? openIdOf(round, client.id) : null;
    const record = id === null ? null : await store.assignment(id);
    if (!record || !isOpen(record, round)) return null;
    await loadRuleOf(run, parts.ruleModules);
    const checkpoint = await store.checkpoint(run.id, record.baseVersion);
    const remainingMs = (round.deadline ?? clock.now()) - clock.now();
    return checkpoint && assignmentMessage(run, record, checkpoint, remainingMs);
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
    let run: FixedRun;
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
      await loops.start();
      if (!closed) retention.start();
    },

    async rest() {
      await Promise.all([retention.stop(), loops.rest()]);
    },

    async look(runId) {
      if (runId === undefined) loops.lookAtAll();
      else await loops.lookAt(runId);
    },

    async close() {
      closed = true;
      await Promise.all([receiving.settled(), loops.close(), retention.stop()]);
    },

    async createRun(input, by = ROOT) {
      const run = await retention.whileStoring(() =>
        createRun(input, { at: clock.now(), by }, parts),
      );
      poke(run.id);
      return run;
    },

    ...runControl(parts, loops),

    ...membership(parts, async (runId, clientId) => {
      poke(runId);
      await parts.notifications?.publish({ kind: 'client', runId, clientId });
    }),

    joined(presence: Presence) {
      loops.joined(presence.runId, presence.id);
    },

    left(client) {
      loops.left(client.runId, client.id);
    },

    plan: async (client) => planFor(await readyRun(client.runId), client),

    async welcome(client) {
      const run = await runOf(parts, client.runId);
      const round = await store.currentRound(client.runId);
      const open = round ? await openAssignment(run, round, client) : null;
      const version = round ? newestVersion(round) : 0;
      return { status: run.status, version, assignments: open ? [open] : [] };
    },

    heard: ({ runId }, assignmentId) => loops.heard(runId, assignmentId),
    whileUploading: ({ runId }, assignmentId, work) =>
      loops.whileArriving(runId, assignmentId, work),

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
      const { spec } = await knownRun(client.runId);
      const counted = countedReport(report, spec.caps.examplesMax);
      const taken = await store.report(assignmentId, counted);
      poke(client.runId);
      return taken;
    },

    now: (runId) => loops.now(runId),
  };
}
