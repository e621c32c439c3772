/**
 * Training is synchronous arithmetic. Without pauses the socket's heart-beats starve and the
 * coordinator takes the client for dead, and an abort would never be seen.
 */
const WORK_MS = 20;

/**
 * @returns a function to call between steps: it gives the event loop a turn when {@link WORK_MS} of
 * work have gone by since the last one.
 */
export function pauses(): () => Promise<void> | undefined {
  let last = performance.now();
  return () => {
    if (performance.now() - last < WORK_MS) return undefined;
    return nextTurn().then(() => {
      last = performance.now();
    });
  };
}

/** One whole turn of the event loop; setTimeout would wait 4 ms in browsers. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    const { setImmediate } = globalThis as { setImmediate?: (callback: () => void) => void };
    if (setImmediate) {
      setImmediate(resolve);
      return;
    }
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      channel.port1.close();
      resolve();
    };
    channel.port2.postMessage(null);
  });
}
