/**
 * What `import … from 'tributary-fl'` gives to the author of a rule. A rule from a file is joined
 * with exactly these (docs/write-a-rule.md); they are pure, as a rule is.
 */
export { TributaryError } from '../../protocol/errors.js';
export { exp, log, pow } from './math.js';
export { randomStream } from './random.js';
export { combinationRule } from './rules/families/combination.js';
export { coordinateRule } from './rules/families/coordinate.js';
export { linearRule } from './rules/families/linear.js';
export { rules } from './rules/index.js';
export { emptyState } from './rules/rule.js';
