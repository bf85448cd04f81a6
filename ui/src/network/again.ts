// Asking again while somebody looks.

/**
 * Does something now and again after each pause: never two at once, and not while the window is hidden, but
 * at once when it comes back. Gives back how to stop.
 */
export function again(act: () => Promise<unknown>, pause: number): () => void {
  let stopped = false;
  let busy = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  async function turn(): Promise<void> {
    clearTimeout(timer);
    if (stopped || busy || document.hidden) return;
    busy = true;
    try {
      await act();
    } catch {
      // What is asked shows its own failures; the next turn may succeed.
    } finally {
      busy = false;
      if (!stopped) timer = setTimeout(() => void turn(), pause);
    }
  }

  const shown = () => void turn();
  document.addEventListener('visibilitychange', shown);
  void turn();
  return () => {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', shown);
  };
}
