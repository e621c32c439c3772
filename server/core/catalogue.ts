/** All that a run can be made of: what `GET /v1/rules`, `tributary rules` and docs/rules.md show. */
import type { RuleList } from '../../protocol/http.js';
import { optimizers } from './optimizers/index.js';
import { ruleInfo, rules } from './rules/index.js';
import { catalogued } from './rules/options.js';
import { steps } from './steps/index.js';

export function catalogue(): RuleList {
  return {
    rules: [...rules.values()].map(ruleInfo),
    optimizers: [...optimizers.values()].map(catalogued),
    steps: [...steps.values()].map(catalogued),
  };
}
