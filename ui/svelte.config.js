import { vitePreprocess } from '@sveltejs/vite-plugin-svelte';

export default {
  preprocess: vitePreprocess(),
  compilerOptions: {
    // Ours alone: a library may still be written the older way.
    runes: ({ filename }) => (filename.includes('node_modules') ? undefined : true),
  },
};
