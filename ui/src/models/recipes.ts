// The catalogue in words, and what of it is asked for.

import type { ListedRecipe, MachineDisk } from '../bindings';

/** What is asked for. Of several abilities all are. */
export type Wanted = {
  typed: string;
  show: Show;
  abilities: Ability[];
};

export const SHOWN = ['all', 'here', 'favourites', 'own', 'on-disk'] as const;
export type Show = (typeof SHOWN)[number];

export const ABILITIES = ['pictures', 'tools', 'reasoning'] as const;
export type Ability = (typeof ABILITIES)[number];

/** What the window knows of a recipe beside the catalogue. */
export type Known = {
  /** Whether the person marked it. */
  isFavourite: (recipe: string) => boolean;
  /** The names of the machines that hold its weights. */
  holders: (recipe: ListedRecipe) => string[];
};

/** What is asked for, in the order of the catalogue, within which what is marked comes first. */
export function found(all: ListedRecipe[], wanted: Wanted, known: Known): ListedRecipe[] {
  const words = wanted.typed.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (recipe: ListedRecipe) =>
    hasWords(recipe, words) &&
    wanted.abilities.every((ability) => recipe[ability]) &&
    isShown(recipe, wanted.show, known);
  const place = (recipe: ListedRecipe) =>
    2 * Number(!canBeChosen(recipe)) + Number(!known.isFavourite(recipe.id));
  return all.filter(fits).toSorted((a, b) => place(a) - place(b));
}

function hasWords(recipe: ListedRecipe, words: string[]): boolean {
  const { id, title, repo, engine, image, variants } = recipe;
  const text = [id, title, repo, engine, image, ...variants, ...abilities(recipe)];
  const whole = text.join(' ').toLowerCase();
  return words.every((word) => whole.includes(word));
}

function isShown(recipe: ListedRecipe, show: Show, known: Known): boolean {
  switch (show) {
    case 'all':
      return true;
    case 'here':
      return canBeChosen(recipe);
    case 'favourites':
      return known.isFavourite(recipe.id);
    case 'own':
      return recipe.kept !== null;
    case 'on-disk':
      return known.holders(recipe).length > 0;
  }
}

/** The machines whose disks hold a revision of what a recipe serves. */
export function holders(recipe: ListedRecipe, disks: MachineDisk[]): string[] {
  const holds = ({ disk }: MachineDisk) =>
    disk?.entries.some(({ item }) => item.kind === 'revision' && item.name === recipe.repo);
  return disks.filter(holds).map((machine) => machine.name);
}

/** Where the weights lie; `null` where they lie on no machine. */
export function holderWords(names: string[], machines: number): string | null {
  if (names.length === 0) return null;
  return names.length > 1 && names.length === machines
    ? 'Weights on both machines'
    : `Weights on ${names.join(' and ')}`;
}

/** What the served model can do. */
export function abilities(recipe: ListedRecipe): Ability[] {
  return ABILITIES.filter((ability) => recipe[ability]);
}

/** Whether it can be chosen for a set-up now. */
export function canBeChosen(recipe: ListedRecipe): boolean {
  return recipe.availability.kind === 'proposed' || recipe.availability.kind === 'fits';
}

/** Over how many machines it is served. */
export function over({ least, most }: ListedRecipe): string {
  if (least === most) return least === 1 ? 'one machine' : `${least} machines`;
  return `${least} or ${most} machines`;
}

/** Why it cannot be chosen, or what is proposed; `null` where there is nothing to say. */
export function availabilityWords(recipe: ListedRecipe): string | null {
  const { availability } = recipe;
  switch (availability.kind) {
    case 'proposed':
      return 'Proposed for these machines.';
    case 'fits':
      return null;
    case 'too-few-machines':
      return `It needs ${recipe.least} machines.`;
    case 'lacks':
      return `${availability.why} ${availability.fix}`;
    case 'reference':
      return `For reference: published for ${availability.hardware}. ${availability.why}`;
  }
}

/** The sentence over the catalogue. */
export function headline(all: ListedRecipe[], machines: string[]): { title: string; says: string } {
  const can = all.filter(canBeChosen).length;
  const recipes = can === 1 ? 'One recipe' : `${can} recipes`;
  const says = `${all.length} recipes are known. Those that cannot be served here say why.`;
  const [only] = machines;
  if (only === undefined) return { title: `${recipes} for two Sparks`, says };
  const on = machines.length > 1 ? 'these machines' : only;
  return { title: `${recipes} can be served on ${on}`, says };
}
