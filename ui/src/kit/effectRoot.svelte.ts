// What outlives the component that first asks for it.

/**
 * Makes something that many screens share. What is derived inside belongs to nobody, so it goes on when the
 * screen that happened to be the first is left; otherwise it would stand still from then on.
 */
export function effectRoot<T>(make: () => T): T {
  let made: { value: T } | undefined;
  $effect.root(() => {
    made = { value: make() };
  });
  if (!made) throw new Error('an effect root runs at once');
  return made.value;
}
