/** What is still needed, in memory. */
import { isLive } from '../../../protocol/run.js';
import type { Checkpoint } from '../../core/records.js';
import { needsUpdates } from '../../core/round.js';
import type { RunEntry, State } from './state.js';

/** The verbs as synchronous functions; the store makes promises of them. */
export function retentionVerbs({ runs }: State) {
  return {
    needed: (hashes: readonly string[]): Set<string> => {
      const all = new Set([...runs.values()].flatMap(neededBy));
      return new Set(hashes.filter((sha256) => all.has(sha256)));
    },
    expireCheckpoints: (runId: string): string[] => {
      const entry = runs.get(runId);
      if (!entry) return [];
      const expired = beyondWhatIsKept(entry);
      for (const each of expired) entry.checkpoints.set(each.version, { ...each, collected: true });
      return expired.flatMap(blobsOf);
    },
  };
}

function neededBy(entry: RunEntry): string[] {
  const { spec, status } = entry.run;
  const inputs = [spec.init.blob, ...(spec.oracle?.kind === 'proxy' ? [spec.oracle.data] : [])];
  return [
    ...(spec.rule.module === undefined ? [] : [spec.rule.module]),
    ...(isLive(status) || spec.keepUpdates ? inputs : []),
    ...checkpointsOf(entry),
    ...updatesOf(entry),
  ];
}

function checkpointsOf(entry: RunEntry): string[] {
  const used = versionsInUse(entry);
  return [...entry.checkpoints.values()]
    .filter(({ collected }) => !collected)
    .flatMap((checkpoint) => {
      const whole = entry.run.spec.keepUpdates || used.has(checkpoint.version);
      return whole ? blobsOf(checkpoint) : [checkpoint.sha256];
    });
}

/** The newest, and what a round that takes updates or folds them began from. */
function versionsInUse({ checkpoints, rounds }: RunEntry): Set<number> {
  const round = rounds.at(-1)?.round;
  const base = round && needsUpdates(round) ? [round.baseVersion] : [];
  return new Set([Math.max(...checkpoints.keys()), ...base]);
}

function updatesOf({ run, rounds }: RunEntry): string[] {
  return rounds
    .filter(({ round }) => run.spec.keepUpdates || needsUpdates(round))
    .flatMap(({ assignments }) => [...assignments.values()])
    .flatMap(({ state, update }) => (state === 'accepted' && update ? [update.sha256] : []));
}

function beyondWhatIsKept(entry: RunEntry): Checkpoint[] {
  const { keepCheckpoints, keepUpdates } = entry.run.spec;
  // Runs of a release before it say nothing of it, and were promised everything.
  if (keepUpdates || typeof keepCheckpoints !== 'number') return [];
  const used = versionsInUse(entry);
  const newest = Math.max(...entry.checkpoints.keys());
  return [...entry.checkpoints.values()].filter(
    ({ version, collected }) =>
      !collected && version > 0 && version <= newest - keepCheckpoints && !used.has(version),
  );
}

function blobsOf({ sha256, stateSha256, broadcast }: Checkpoint): string[] {
  return [sha256, ...(stateSha256 ? [stateSha256] : []), ...(broadcast ? [broadcast.sha256] : [])];
}
