// Short notices that pass by themselves. Sparingly: only for what happened out of sight.

export type Toast = { id: number; says: string };

class Toasts {
  shown = $state<Toast[]>([]);
  #next = 1;

  /** Shows a sentence for a few seconds. */
  say(says: string): void {
    const id = this.#next++;
    this.shown.push({ id, says });
    setTimeout(() => this.close(id), 6000);
  }

  /** Takes one away. */
  close(id: number): void {
    this.shown = this.shown.filter((toast) => toast.id !== id);
  }
}

export const toasts = new Toasts();
