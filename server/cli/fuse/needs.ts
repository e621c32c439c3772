/** Whether the files bring what the rule needs, said in the words of the command. */
import { TributaryError } from '../../../protocol/errors.js';
import { memberIndex } from '../../core/rules/families/vectors.js';
import type { Needs, VectorNeed } from '../../core/rules/rule.js';
import type { ClientFile } from './facts.js';

type Known = Pick<ClientFile, 'clientId' | 'role' | 'metrics' | 'vectors'>;

/** @throws TributaryError `rule_needs`, with the option that provides it. */
export function checkNeeds(
  rule: string,
  { oracle, target, vectors = [], metrics = [] }: Needs,
  clients: readonly Known[],
  hasProxy: boolean,
): void {
  const refuse = (why: string): never => {
    throw new TributaryError('rule_needs', `the rule "${rule}" needs ${why}`);
  };
  if (oracle && !hasProxy)
    refuse('held-out examples and the model: give --proxy FILE and --model FILE');
  const targets = clients.filter(({ role }) => role === 'target').length;
  if (target && targets !== 1)
    refuse(`one target, and there are ${targets}: say "role": "target" of one in --facts FILE`);
  for (const client of clients) {
    const metric = metrics.find((name) => !Object.hasOwn(client.metrics, name));
    if (metric) refuse(`the metric "${metric}" of "${client.clientId}": give it in --facts FILE`);
    const vector = missingVector(vectors, client);
    if (vector)
      refuse(`the vector "${vector}" of "${client.clientId}": name its file in --facts FILE`);
  }
}

function missingVector(needs: readonly VectorNeed[], { role, vectors }: Known): string | undefined {
  for (const { name, roles, many, fewest = 1 } of needs) {
    if (!roles.includes(role)) continue;
    if (!many && !Object.hasOwn(vectors, name)) return name;
    if (!many) continue;
    const members = Object.keys(vectors).filter((vector) => memberIndex(vector, name) !== null);
    if (members.length < fewest) return `${name}.${members.length}`;
  }
  return undefined;
}
