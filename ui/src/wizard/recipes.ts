// The catalogue in words, and what of it is asked for.

import type { ListedRecipe } from '../bindings';

/** The recipes in which each of the typed words occurs. */
export function found(all: ListedRecipe[], typed: string): ListedRecipe[] {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  return all.filter((recipe) => {
    const { id, title, repo, engine, image, variants } = recipe;
    const text = [id, title, repo, engine, image, ...variants, ...abilities(recipe)];
    const whole = text.join(' ').toLowerCase();
    return words.every((word) => whole.includes(word));
  });
}

/** What the served model can do. */
export function abilities(recipe: ListedRecipe): string[] {
  return [
    ...(recipe.pictures ? ['pictures'] : []),
    ...(recipe.tools ? ['tools'] : []),
    ...(recipe.reasoning ? ['reasoning'] : []),
  ];
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
