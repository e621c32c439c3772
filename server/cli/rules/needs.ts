/** What a rule needs, in words. */
import type { RuleInfo } from '../../../protocol/http.js';

/** In one word each, for a list; empty where it needs nothing. */
export function needsInShort({ needs, needsVary }: RuleInfo): string[] {
  const { oracle, target, vectors, metrics } = needs;
  return [
    ...(oracle ? ['oracle'] : []),
    ...(target ? ['target'] : []),
    ...vectors.map(({ name, many }) => `vector ${many ? `${name}.*` : name}`),
    ...metrics.map((name) => `metric ${name}`),
    ...(needsVary ? ['by options'] : []),
  ];
}

/** In full, as what may follow "It needs"; empty where it needs nothing. */
export function needsInFull({ needs, needsVary }: RuleInfo): string {
  const { oracle, target, vectors, metrics } = needs;
  const all = [
    ...(oracle ? ['an oracle: loss and gradient on a proxy set or on the data of the target'] : []),
    ...(target ? ['exactly one client with the role `target`'] : []),
    ...vectors.map(({ name, many, roles }) => {
      const what = many ? `vectors \`${name}.0\`, \`${name}.1\`, …` : `the vector \`${name}\``;
      return `${what} with each update of a client with the role ${roles.join(' or ')}`;
    }),
    ...metrics.map((name) => `the metric \`${name}\` with each update`),
  ];
  const most = needsVary && all.length > 0 ? 'at most, by its options: ' : '';
  return `${most}${all.join('; ')}`;
}
