/** The states of several parts in one, kept apart by a prefix of their names. */
import type { RuleState } from './rule.js';

/** What stands under a prefix, without it. */
export function partOf(state: RuleState, prefix: string): RuleState {
  const under = <T>(record: Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(
      Object.entries(record)
        .filter(([name]) => name.startsWith(prefix))
        .map(([name, value]) => [name.slice(prefix.length), value]),
    );
  return { tensors: under(state.tensors), values: under(state.values) };
}

/** All of these, by prefix. */
export function joinStates(parts: Readonly<Record<string, RuleState>>): RuleState {
  const under = <T>(of: (state: RuleState) => Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(
      Object.entries(parts).flatMap(([prefix, state]) =>
        Object.entries(of(state)).map(([name, value]) => [`${prefix}${name}`, value]),
      ),
    );
  return { tensors: under((s) => s.tensors), values: under((s) => s.values) };
}
