// Short notices that pass by themselves. Sparingly: only for what happened out of sight.

/** What can be done about it: a button. */
export type ToastAct = { label: string; go: () => void };

export type Toast = { id: number; says: string; act?: ToastAct };

class Toasts {
  shown = $state<Toast[]>([]);
  #next = 1;

  /** Shows a sentence for a few seconds; longer where something can be done about it. */
  say(says: string, act?: ToastAct): void {
    const id = this.#next++;
    this.shown.push({ id, says, ...(act && { act }) });
    setTimeout(() => this.close(id), act ? 20_000 : 6000);
  }

  /** Takes one away. */
  close(id: number): void {
    this.shown = this.shown.filter((toast) => toast.id !== id);
  }
}

export const toasts = new Toasts();
