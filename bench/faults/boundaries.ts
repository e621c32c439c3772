/** Where a coordinator is killed: the boundaries of a round, and the points of each (trap.mjs). */
import type { RandomStream } from '../../server/core/random.js';

export interface Boundary {
  readonly name: string;
  /** As trap.mjs calls them. */
  readonly points: readonly string[];
  /** How often a round comes to each point, at most. */
  readonly perRound: number;
}

/** Clients of a run; each sends one update a round. */
export const CLIENTS = 3;
/** Full tiles of an update of the task (task.ts). */
export const TILES = 3;

export const boundaries: readonly Boundary[] = [
  {
    name: 'choosing a cohort',
    points: [
      'cohort: its rows are not written',
      'cohort: not committed',
      'cohort: the answer has not come',
      'cohort: nobody was told',
    ],
    perRound: 1,
  },
  { name: 'upload half received', points: ['upload: half received'], perRound: CLIENTS },
  {
    name: 'spooled, not recorded',
    points: [
      'spooled: not synced',
      'spooled: synced',
      'spooled: renamed',
      'spooled: the row is not sent',
    ],
    perRound: CLIENTS,
  },
  {
    name: 'recorded, not acknowledged',
    points: [
      'recorded: the answer has not come',
      'recorded: the row is stored',
      'recorded: the answer is not sent',
    ],
    perRound: CLIENTS,
  },
  {
    name: 'acknowledged, not folded',
    points: ['acknowledged: a receipt is out', 'acknowledged: all receipts are out'],
    perRound: 1,
  },
  { name: 'middle of a fold', points: ['fold: a tile is read'], perRound: CLIENTS * TILES },
  {
    name: 'middle of saving the model',
    points: [
      'saving: not synced',
      'saving: not renamed',
      'saving: renamed',
      'saving: its row is not sent',
      'saving: not committed',
    ],
    perRound: 1,
  },
  {
    name: 'committed, not advanced',
    points: [
      'committed: the answer has not come',
      'committed: nobody was told',
      'committed: updates are being deleted',
    ],
    perRound: 1,
  },
];

/** What one life of a coordinator is to die of (FAULTS_TRAP). */
export interface Trap {
  readonly point: string;
  /** The so many-th time that it comes there. */
  readonly occurrence: number;
  /** Counted from the start of the process, or from the first receipt or commit of this life. */
  readonly from: 'start' | 'progress';
}

/** Most rounds that pass in a life that a trap ends: one to the first progress, two that it counts in. */
export const ROUNDS_A_LIFE = 3;

/**
 * The trap of the n-th life. All points of the boundary come in turn. One life in four after the
 * first is killed while it recovers: a crash in the middle of the restart after a crash.
 */
export function drawTrap({ points, perRound }: Boundary, n: number, random: RandomStream): Trap {
  const point = points[n % points.length];
  const early = n > 0 && random.below(4) === 0;
  const occurrence = 1 + random.below(early ? perRound : 2 * perRound);
  return { point, occurrence, from: early ? 'start' : 'progress' };
}
