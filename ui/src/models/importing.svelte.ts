// A recipe that somebody else wrote, on its way to one that the person keeps. Lives as long as the window, so that nothing
// is lost when another screen comes into view.

import type { ImportView, Problem, RecipeSource } from '../bindings';
import { asProblem, type Host } from '../host/host';
import { effectRoot } from '../kit/effectRoot.svelte';

export const WAYS = ['text', 'files', 'address'] as const;
/** How a recipe is given. */
export type Way = (typeof WAYS)[number];

/** A file among which one is chosen: read already, or still at its address. */
export type Found = { name: string } & ({ text: string } | { address: string });

type Given = { text: string; source: RecipeSource };

export class Importing {
  way: Way = $state('text');
  typed = $state('');
  address = $state('');
  /** The image that is to take the place of its own. */
  image = $state('');
  /** Files to choose from; `null` where there was none to choose. */
  found: Found[] | null = $state.raw(null);
  /** Whether there are more files than are listed. */
  more = $state(false);
  /** What would become of the one that was read. */
  shown: ImportView | null = $state.raw(null);
  problem: Problem | null = $state.raw(null);
  /** What is being done, in words. */
  busy: string | null = $state(null);
  /** What is being changed: a kept recipe, or a copy of one of Tandem's. */
  changing: { id: string; title: string; isKept: boolean } | null = $state.raw(null);
  #given: Given | null = null;

  constructor(readonly host: Host) {}

  /** Reads what was typed. */
  async readTyped(): Promise<void> {
    const { changing } = this;
    const source: RecipeSource =
      changing && !changing.isKept ? { kind: 'copy', of: changing.id } : { kind: 'pasted' };
    await this.#do('Reading', () => this.#read({ text: this.typed, source }));
  }

  /** Lets the person choose a file or a folder, and reads it. */
  async choose(folder: boolean): Promise<void> {
    await this.#do('Waiting for your choice', async () => {
      const chosen = await this.host.chooseRecipes(folder);
      if (chosen === null) return;
      this.more = chosen.more;
      this.found = folder ? chosen.files : null;
      const [only] = chosen.files;
      if (only && !folder) await this.#open(only);
    });
  }

  /** Fetches what is at the address: a file, or the list of a repository's files. */
  async fetch(): Promise<void> {
    await this.#do('Fetching', async () => {
      const fetched = await this.host.fetchRecipe(this.address);
      if (fetched.kind === 'files') {
        this.more = fetched.more;
        this.found = fetched.files.map(({ path, address }) => ({ name: path, address }));
        return;
      }
      this.found = null;
      const address = fetched.way.at(-1) ?? this.address;
      await this.#read({ text: fetched.text, source: { kind: 'address', address } });
    });
  }

  /** Reads one of the files. */
  async open(file: Found): Promise<void> {
    await this.#do('Reading', () => this.#open(file));
  }

  /** Reads the same again with another image. */
  async withImage(): Promise<void> {
    const given = this.#given;
    if (given) await this.#do('Reading', () => this.#read(given));
  }

  /** Keeps what is shown; gives back its name here, or `null` where that did not happen. */
  async keep(): Promise<string | null> {
    const { shown, changing } = this;
    const given = this.#given;
    const confirmation = shown?.confirmation ?? null;
    if (given === null || confirmation === null) return null;
    const replaces = changing?.isKept ? changing.id : null;
    const kept = await this.#do('Keeping', () =>
      this.host.keepRecipe({ ...given, image: this.#image(), replaces }, confirmation),
    );
    if (kept !== null) this.begin();
    return kept;
  }

  /** Shows a recipe in Tandem's own form, to be changed: a kept one in its place, or a copy of one of Tandem's. */
  async change(id: string, title: string, isKept: boolean): Promise<void> {
    this.begin();
    await this.#do('Reading', async () => {
      this.typed = await this.host.recipeText(id);
      this.changing = { id, title, isKept };
    });
  }

  /** Back to the files, or to what was given. */
  back(): void {
    this.shown = null;
    this.problem = null;
    this.image = '';
  }

  /** Begins with nothing. */
  begin(): void {
    this.back();
    this.way = 'text';
    this.typed = '';
    this.address = '';
    this.found = null;
    this.more = false;
    this.changing = null;
    this.#given = null;
  }

  async #open(file: Found): Promise<void> {
    if ('text' in file) {
      await this.#read({ text: file.text, source: { kind: 'file', name: file.name } });
      return;
    }
    const fetched = await this.host.fetchRecipe(file.address);
    if (fetched.kind !== 'text') return;
    const address = fetched.way.at(-1) ?? file.address;
    await this.#read({ text: fetched.text, source: { kind: 'address', address } });
  }

  async #read(given: Given): Promise<void> {
    this.shown = await this.host.readRecipe(given.text, this.#image());
    this.#given = given;
  }

  #image(): string | null {
    return this.image.trim() === '' ? null : this.image;
  }

  /** One thing at a time; what goes wrong is shown. */
  async #do<T>(busy: string, act: () => Promise<T>): Promise<T | null> {
    if (this.busy !== null) return null;
    this.busy = busy;
    try {
      const done = await act();
      this.problem = null;
      return done;
    } catch (thrown) {
      this.problem = asProblem(thrown);
      return null;
    } finally {
      this.busy = null;
    }
  }
}

const known = new WeakMap<Host, Importing>();

/** The import of a host, the same at every asking. */
export function importingOf(host: Host): Importing {
  const one = known.get(host) ?? effectRoot(() => new Importing(host));
  known.set(host, one);
  return one;
}
