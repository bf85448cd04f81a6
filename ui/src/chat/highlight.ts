// Colours for code, as pieces of text with a kind. The highlighter's tree is flattened, so code is drawn as
// text like everything else the model writes.

import { common, createLowlight } from 'lowlight';

import { chunksOf } from './chunks';

export type Kind = 'plain' | 'word' | 'text' | 'number' | 'note' | 'name' | 'added' | 'removed';

export interface Piece {
  kind: Kind;
  text: string;
}

/** Longer code is shown without colours: finding them would hold up the window. */
const MOST = 20_000;

const lowlight = createLowlight(common);

const KINDS: Record<string, Kind> = {
  'hljs-keyword': 'word',
  'hljs-built_in': 'word',
  'hljs-type': 'word',
  'hljs-section': 'word',
  'hljs-selector-tag': 'word',
  'hljs-string': 'text',
  'hljs-regexp': 'text',
  'hljs-symbol': 'text',
  'hljs-number': 'number',
  'hljs-literal': 'number',
  'hljs-comment': 'note',
  'hljs-quote': 'note',
  'hljs-meta': 'note',
  'hljs-title': 'name',
  'hljs-attr': 'name',
  'hljs-attribute': 'name',
  'hljs-name': 'name',
  'hljs-variable': 'name',
  'hljs-property': 'name',
  'hljs-addition': 'added',
  'hljs-deletion': 'removed',
};

/** The code in pieces. Code of an unknown language, or of none, has plain pieces. */
export function pieces(language: string, code: string): Piece[] {
  if (code.length > MOST || !lowlight.registered(language))
    return chunksOf(code).map((text) => ({ kind: 'plain', text }));
  const found: Piece[] = [];
  flatten(lowlight.highlight(language, code).children, 'plain', found);
  return found;
}

type Node = ReturnType<typeof lowlight.highlight>['children'][number];

function flatten(nodes: Node[], kind: Kind, into: Piece[]): void {
  for (const node of nodes) {
    if (node.type === 'text') {
      const last = into.at(-1);
      if (last?.kind === kind) last.text += node.value;
      else into.push({ kind, text: node.value });
    } else if (node.type === 'element') {
      const classes = node.properties.className;
      const own = Array.isArray(classes) ? KINDS[String(classes[0])] : undefined;
      flatten(node.children as Node[], own ?? kind, into);
    }
  }
}
