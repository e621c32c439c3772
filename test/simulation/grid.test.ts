import { describe, expect, it } from 'vitest';
import { renderedGrid } from '../../server/cli/grid/results.js';
import { rules as catalogue } from '../../server/core/rules/index.js';
import { claims } from '../../server/core/rules/robust/claims.js';
import { attacks } from '../../server/simulation/attacks/index.js';
import type { GridSize } from '../../server/simulation/grid.js';
import {
  fullGrid,
  gridResult,
  gridSimulation,
  gridTasks,
  playGridTask,
  quickGrid,
} from '../../server/simulation/grid.js';
import type { SimulatedRun } from '../../server/simulation/simulate.js';
import { simulationFile } from '../../server/simulation/simulation-file.js';
import { runsOf } from '../../server/simulation/simulation.js';

/** A run that ended with this accuracy; null for one that diverged. */
function ended(accuracy: number | null): SimulatedRun {
  return {
    seed: 1,
    rounds: accuracy === null ? [] : [{ round: 10, metrics: { accuracy } }],
    checkpoint: null,
    diverged: accuracy === null ? 'the loss became NaN' : null,
    attackers: ['a'],
    attackerShare: 0.25,
    refused: 1,
  };
}

const size: GridSize = {
  rules: ['fedavg', 'krum'],
  attacks: ['noise', 'alie', 'label-flip', 'min-max', 'ipm'],
  seeds: [1, 2],
  rounds: 10,
  alpha: null,
};

describe('the grid', () => {
  it('has thirteen rules, seven attacks, and each rule without one', () => {
    expect(fullGrid.rules).toHaveLength(13);
    expect([...fullGrid.attacks].sort()).toEqual(
      [
        ...['sign-flip', 'noise', 'alie', 'ipm', 'min-max', 'model-replacement', 'label-flip'],
      ].sort(),
    );
    expect(gridTasks(fullGrid)).toHaveLength(13 * 8);
    expect(gridTasks({ ...size, seeds: [1, 2] })).toHaveLength(2 * 6 * 2);
  });

  it('asks rules that there are for options that they have, with a fifth attacking', () => {
    for (const task of gridTasks(fullGrid)) {
      const simulation = simulationFile.parse(gridSimulation(task));
      expect(() => runsOf(simulation)).not.toThrow();
      expect(simulation.attack?.share ?? 0.2).toBe(0.2);
    }
  });

  it('knows every rule and attack that a claim is made of', () => {
    for (const [rule, claim] of Object.entries(claims)) {
      expect(catalogue.has(rule)).toBe(true);
      for (const attack of claim?.attacks ?? []) expect(attacks.has(attack)).toBe(true);
    }
  });

  it('holds each rule against its own accuracy without an attack', () => {
    // In the order of the tasks: none, then each attack; fedavg, krum; seed 1, 2.
    const accuracies = [
      ...[0.9, 0.8, 0.6, 0.7],
      ...[0.7, 0.8, 0.54, 0.53],
      ...[0.76, 0.75, 0.55, 0.56],
      ...[null, 0.9, 0.6, 0.6],
      ...[0.9, 0.9, 0.7, 0.7],
      ...[0.9, 0.9, 0.7, 0.7],
    ];
    const { rows } = gridResult(size, accuracies.map(ended));
    const cells = rows.map((row) => row.cells.map(({ accuracy, holds }) => [accuracy, holds]));
    const near = (value: number) => expect.closeTo(value, 12) as number;
    expect(cells[0]).toEqual([
      [near(0.85), true],
      [near(0.75), true],
      [near(0.755), true],
      [near(0.45), false],
      [near(0.9), true],
      [near(0.9), true],
    ]);
    expect(cells[1].slice(0, 3)).toEqual([
      [near(0.65), true],
      [near(0.535), false],
      [near(0.555), true],
    ]);
    const [noise] = rows[1].cells.slice(1);
    expect(noise).toMatchObject({ claimed: true, attackerShare: 0.25, refused: 2, diverged: 0 });
    expect(noise.deviation).toBeCloseTo(0.01 / Math.SQRT2, 12);
    expect(rows[0].cells[3].diverged).toBe(1);
    expect(rows[0].scope).toBeNull();
  });

  it('is shown in 80 columns, with marks, and names the claims that did not hold', () => {
    const one = { ...size, seeds: [1] };
    const accuracies = [0.9, 0.8, 0.5, 0.5, 0.9, 0.8, null, 0.75, 0.9, 0.8, 0.9, 0.8];
    const text = renderedGrid({ ...gridResult(one, accuracies.map(ended)), ...one });
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
    expect(text).toMatch(/^rule +none +noise +alie +label-flip +min-max$/m);
    expect(text).toMatch(/^fedavg +90\.0 +50\.0! +90\.0 +diverged! +90\.0$/m);
    expect(text).toMatch(/^krum +80\.0 +50\.0\*! +80\.0 +75\.0 +80\.0$/m);
    expect(text).toContain('krum does not withstand noise here. Its paper:');
    expect(text).not.toContain('Every claim holds');
  });

  it('plays one of its runs', async () => {
    const [, task] = gridTasks(quickGrid).filter(({ attack }) => attack === 'alie');
    const run = await playGridTask({ ...task, rounds: 1 });
    expect(run.rounds).toHaveLength(1);
    expect(run.attackers).toHaveLength(4);
    expect(run.diverged).toBeNull();
  });
});
