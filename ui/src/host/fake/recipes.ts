// Recipes that are imported and kept, as they were recorded. An address that ends in .yaml is a file, any other a
// repository; `elsewhere` in it is refused.

import type { ListedRecipe, NewKept } from '../../bindings';
import type { Host } from '../host';
import { wait } from './player';
import { RECORDED } from './recorded';

type Asked =
  | 'recipes'
  | 'readRecipe'
  | 'fetchRecipe'
  | 'chooseRecipes'
  | 'keepRecipe'
  | 'keptRecipe'
  | 'renameRecipe'
  | 'recipeText'
  | 'deleteRecipe'
  | 'restoreRecipe'
  | 'exportRecipe'
  | 'exportLaunch'
  | 'saveText';

const { imports, plans } = RECORDED;

/** The host's answers about recipes. */
export function fakeRecipes(tickMs: number): Pick<Host, Asked> {
  let kept: ListedRecipe[] = [];
  const removed = new Map<string, ListedRecipe>();

  const read = (text: string, image: string | null) => {
    const found = imports.reads.find((one) => one.text === text && one.image === image);
    if (!found) throw structuredClone(imports.unread);
    return structuredClone(found.view);
  };
  const [small, , big] = imports.reads;
  const textAt = (name: string) => (name.includes('big') ? big : small)?.text ?? '';

  function keep({ text, image, source, replaces }: NewKept, confirmation: string): string {
    const view = read(text, image);
    if (view.confirmation !== confirmation) throw structuredClone(imports.unconfirmed);
    if (replaces !== null) return replaces;
    const id = kept.length === 0 ? imports.id : `${imports.id}-${kept.length + 1}`;
    const note = imports.listed.kept;
    const listed = { ...imports.listed, id, title: view.title };
    if (note) listed.kept = { ...note, source, format: view.format, added_at: Date.now() };
    kept = [...kept, listed];
    return id;
  }

  return {
    recipes: async () => structuredClone([...kept, ...plans.recipes]),
    readRecipe: async (text, image) => read(text, image),
    fetchRecipe: async (address) => {
      await wait(tickMs * 8);
      if (address.includes('elsewhere')) throw structuredClone(imports.elsewhere);
      if (!address.endsWith('.yaml')) return structuredClone(imports.files);
      return { kind: 'text', text: textAt(address), way: [address] };
    },
    chooseRecipes: async (folder) => {
      await wait(tickMs * 2);
      const file = (name: string) => ({ name, text: textAt(name) });
      const names = folder ? ['big-chat.yaml', 'small-chat.yaml'] : ['small-chat.yaml'];
      return { files: names.map(file), more: false };
    },
    keepRecipe: async (recipe, confirmation) => keep(recipe, confirmation),
    keptRecipe: async () => structuredClone(imports.kept),
    renameRecipe: async (id, title) => {
      if (title.trim() === '') throw structuredClone(imports.unnamed);
      kept = kept.map((one) => (one.id === id ? { ...one, title: title.trim() } : one));
      return null;
    },
    recipeText: async () => imports.text,
    deleteRecipe: async (id) => {
      const one = kept.find((recipe) => recipe.id === id);
      if (one) removed.set(id, one);
      kept = kept.filter((recipe) => recipe.id !== id);
      return null;
    },
    restoreRecipe: async (id) => {
      const one = removed.get(id);
      if (one) kept = [...kept, one];
      return null;
    },
    exportRecipe: async () => structuredClone(imports.exported),
    exportLaunch: async () => structuredClone(imports.exported),
    saveText: async () => true,
  };
}
