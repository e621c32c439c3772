/** The step of the adaptive optimizers. */

/**
 * eta m / (sqrt(v) + tau) for one parameter. With tau 0, one that never had a gradient has v = 0 and
 * nowhere to go: it stays, where 0 / 0 would make the model NaN.
 */
export function adaptiveStep(
  { eta, tau }: { readonly eta: number; readonly tau: number },
  m: number,
  v: number,
): number {
  const scale = Math.sqrt(v) + tau;
  return scale === 0 ? 0 : (eta * m) / scale;
}
