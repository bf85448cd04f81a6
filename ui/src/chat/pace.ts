// How often a growing answer is drawn: once a frame, and less often where drawing takes long, so that the window keeps
// most of its time for the person. Where nothing is drawn, as in a window that is hidden, a timer takes the place.

/** Of the time, this part at most is spent drawing: one part drawing, four parts not. */
const REST = 4;
/** A hidden window gets no frames. */
const HIDDEN_MS = 250;

export interface Pace {
  /** Something is there to be drawn; it is drawn with what else comes until then. */
  request: () => void;
  /** Draws now what was asked for. */
  flush: () => void;
}

/** Calls `draw` at that pace. Without frames, as outside of a window, it is called at once. */
export function paced(draw: () => void): Pace {
  if (typeof requestAnimationFrame !== 'function') return { request: draw, flush: () => {} };
  let waits = false;
  let free = 0;
  let cancel = () => {};

  function run(): void {
    if (!waits) return;
    cancel();
    waits = false;
    const begin = performance.now();
    draw();
    // A message is handled after the frame with the words was laid out and painted.
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      const end = performance.now();
      free = end + REST * (end - begin);
      port1.close();
    };
    port2.postMessage(null);
  }

  function request(): void {
    if (waits) return;
    waits = true;
    let frame = 0;
    const wait = Math.max(0, free - performance.now());
    const timer = setTimeout(run, wait + HIDDEN_MS);
    const begin = setTimeout(() => (frame = requestAnimationFrame(run)), wait);
    cancel = () => {
      clearTimeout(timer);
      clearTimeout(begin);
      cancelAnimationFrame(frame);
    };
  }

  return { request, flush: run };
}
