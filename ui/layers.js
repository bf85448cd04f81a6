// The folders of src from the ground up. A folder imports what stands in a line below its own, never what
// stands beside or above it; so there are no circles, and a subject knows nothing of another.
import { readdirSync } from 'node:fs';

export const LAYERS = [
  ['theme', 'host'],
  ['kit'],
  ['problem'],
  ['session'],
  [
    'bench',
    'chat',
    'disk',
    'elsewhere',
    'export',
    'machines',
    'network',
    'pair',
    'preflight',
    'run',
  ],
  ['models', 'wizard'],
  ['app', 'screens'],
];

/** For each folder those that it must not import. A folder of src that stands in no layer is an error. */
export function forbidden(src) {
  const folders = readdirSync(src, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
  const known = LAYERS.flat();
  const strange = [
    ...folders.filter((name) => !known.includes(name) && name !== 'test'),
    ...known.filter((name) => !folders.includes(name)),
  ];
  if (strange.length > 0)
    throw new Error(`ui/layers.js and the folders of ui/src differ in: ${strange.join(', ')}.`);
  return LAYERS.flatMap((layer, i) =>
    layer.map((folder) => ({
      folder,
      others: LAYERS.slice(i)
        .flat()
        .filter((other) => other !== folder),
    })),
  );
}
