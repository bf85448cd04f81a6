// Colours have their names in src/theme/theme.css, once for each appearance, where their contrast is seen to.
const COLOUR = /#[0-9a-f]{3,8}\b|\b(?:rgba?|hsla?|hwb|lab|lch|oklab|oklch|color)\(/gi;

/** A colour that a component's style names itself. */
export const noColours = {
  meta: { type: 'problem', schema: [] },
  create: (context) => ({
    SvelteStyleElement(node) {
      const from = node.range[0];
      for (const found of context.sourceCode.getText(node).matchAll(COLOUR)) {
        const at = context.sourceCode.getLocFromIndex(from + found.index);
        context.report({
          loc: { start: at, end: { ...at, column: at.column + found[0].length } },
          message: 'Give this colour a name in theme.css, in both appearances.',
        });
      }
    },
  }),
};
