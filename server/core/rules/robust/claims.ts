/**
 * Which attacks the papers of the robust rules claim to withstand, so that a comparison can hold
 * them against what happens. A claim is what a paper shows for its own rule, in theory or in its
 * experiments; nearly all of them are for independent data and with fewer attackers than the rule
 * assumes.
 */

export const attackNames = [
  'sign-flip',
  'noise',
  'alie',
  'ipm',
  'min-max',
  'model-replacement',
  'label-flip',
] as const;
export type AttackName = (typeof attackNames)[number];

export interface Claim {
  readonly attacks: readonly AttackName[];
  /** Authors, venue, year. */
  readonly paper: string;
  /** What exactly was claimed, and under which condition. */
  readonly scope: string;
}

/** By the name of the rule. A rule that is not here claims nothing. */
export const claims: Readonly<Partial<Record<string, Claim>>> = {
  median: {
    attacks: ['label-flip'],
    paper: 'Yin et al., ICML 2018',
    scope:
      'Any f < n/2 for independent data of bounded variance and skewness (theorem); flipped labels (experiment).',
  },
  'trimmed-mean': {
    attacks: ['label-flip'],
    paper: 'Yin et al., ICML 2018',
    scope:
      'Any f <= beta n for independent sub-exponential gradients (theorem); flipped labels (experiment).',
  },
  krum: {
    attacks: ['noise', 'sign-flip'],
    paper: 'Blanchard et al., NeurIPS 2017',
    scope:
      'Any f < (n - 2)/2 where honest gradients vary little beside their length (theorem); noise and the gradient turned round (experiment).',
  },
  'multi-krum': {
    attacks: ['noise', 'sign-flip'],
    paper: 'Blanchard et al., NeurIPS 2017',
    scope: 'As Krum; noise and the gradient turned round (experiment).',
  },
  bulyan: {
    attacks: ['noise', 'sign-flip'],
    paper: 'El Mhamdi et al., ICML 2018',
    scope:
      'f <= (n - 3)/4: what the rule inside withstands (Krum), and great changes of single coordinates.',
  },
  'geometric-median': {
    attacks: ['noise', 'sign-flip', 'label-flip'],
    paper: 'Pillutla et al., IEEE Transactions on Signal Processing 2022',
    scope:
      'Any f < n/2 by its breakdown point; corrupted labels, noise, and updates that turn the mean round (experiment).',
  },
  'centered-clipping': {
    attacks: ['sign-flip', 'label-flip', 'alie', 'ipm'],
    paper: 'Karimireddy et al., ICML 2021',
    scope:
      'With momentum at the clients, independent data, and tau of the order of the honest spread.',
  },
  'norm-bound': {
    attacks: ['model-replacement'],
    paper: 'Sun et al., 2019, "Can You Really Backdoor Federated Learning?"',
    scope: 'Boosted updates, with a bound that honest ones keep.',
  },
  'clipped-clustering': {
    attacks: ['sign-flip', 'noise', 'label-flip', 'alie', 'ipm'],
    paper: 'Li et al., IEEE Transactions on Big Data 2023',
    scope:
      'Most of these attacks with independent data; the paper says itself that skewed data break it.',
  },
  signguard: {
    attacks: ['sign-flip', 'noise', 'label-flip', 'alie', 'min-max'],
    paper: 'Xu et al., ICDCS 2022',
    scope: 'f < n/2, images and text, gradients (one local step).',
  },
  dnc: {
    attacks: ['alie', 'min-max'],
    paper: 'Shejwalkar, Houmansadr, NDSS 2021',
    scope: 'f known and a fifth of the clients, independent and skewed data.',
  },
  fltrust: {
    attacks: ['label-flip', 'model-replacement'],
    paper: 'Cao et al., NDSS 2021',
    scope: 'Up to 60% of attackers, with 100 clean root examples.',
  },
};

/** Whether the paper of a rule claims that it withstands an attack. */
export function claimsToWithstand(rule: string, attack: string): boolean {
  return claims[rule]?.attacks.some((name) => name === attack) ?? false;
}
