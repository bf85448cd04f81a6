// Paths of the icons, on a grid of 20, drawn with a stroke of 1.5.

const circle = (x: number, y: number, r: number) =>
  `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;

export const ICONS = {
  setup: [
    'M3 5l1.5 1.5L7 4',
    'M10 5.5h7',
    'M3 11l1.5 1.5L7 10',
    'M10 11.5h7',
    'M10 16.5h7',
    circle(5, 16.5, 0.8),
  ],
  pair: ['M2.5 6.5h5v7h-5z', 'M12.5 6.5h5v7h-5z', 'M7.5 9h5', 'M7.5 11h5'],
  models: ['M10 3l6.5 3.5L10 10 3.5 6.5z', 'M3.5 10l6.5 3.5 6.5-3.5', 'M3.5 13.5L10 17l6.5-3.5'],
  star: ['M10 3.2l2.1 4.4 4.8.6-3.5 3.3.9 4.8-4.3-2.4-4.3 2.4.9-4.8-3.5-3.3 4.8-.6z'],
  disk: [
    'M4 5.5c0-1.4 2.7-2.5 6-2.5s6 1.1 6 2.5-2.7 2.5-6 2.5-6-1.1-6-2.5',
    'M4 5.5v9c0 1.4 2.7 2.5 6 2.5s6-1.1 6-2.5v-9',
    'M4 10c0 1.4 2.7 2.5 6 2.5s6-1.1 6-2.5',
  ],
  bench: ['M3 14a7 7 0 1 1 14 0', 'M10 14l3-4.5', 'M3 17h14'],
  chat: ['M3 4h14v10H9l-4 3v-3H3z'],
  runs: ['M10 5.5V10l3 2', circle(10, 10, 7)],
  settings: ['M3 6h8', 'M15 6h2', 'M3 14h2', 'M9 14h8', circle(13, 6, 2), circle(7, 14, 2)],
  check: ['M4 10.5l4 4 8-9'],
  cross: ['M5 5l10 10', 'M15 5L5 15'],
  stop: ['M5.5 5.5h9v9h-9z'],
  alert: ['M10 3l8 14H2z', 'M10 8v4.2', 'M10 14.6v.1'],
  info: [circle(10, 10, 7), 'M10 9v4.5', 'M10 6.4v.1'],
  broken: ['M3 10h4l1.5-4', 'M17 10h-4l-1.5 4', 'M9.2 13.5l.6-1.6', 'M10.2 8.1l.6-1.6'],
  copy: ['M7 7h9v9H7z', 'M13 7V4H4v9h3'],
  down: ['M5 8l5 5 5-5'],
  right: ['M8 5l5 5-5 5'],
  left: ['M12 5l-5 5 5 5'],
  arrow: ['M3 10h13', 'M11 5l5 5-5 5'],
  plus: ['M10 4v12', 'M4 10h12'],
  refresh: ['M16 6a7 7 0 1 0 1 5', 'M16.5 2.5V6H13'],
  undo: ['M4 8h8.5a4 4 0 0 1 0 8H8', 'M7.5 4.5L4 8l3.5 3.5'],
  pause: ['M7 4.5v11', 'M13 4.5v11'],
  play: ['M6 4l10 6-10 6z'],
  power: ['M10 3v6', 'M6 5.6a6.2 6.2 0 1 0 8 0'],
  trash: ['M4 6h12', 'M8 6V4h4v2', 'M5.5 6l1 11h7l1-11'],
  pencil: ['M4 16l1-4L13.5 3.5l3 3L8 15z', 'M11.5 5.5l3 3'],
  image: ['M3 4h14v12H3z', 'M3 14l4.5-4 3 2.5L13 10l4 4', circle(7, 7.5, 1)],
  send: ['M10 16V4', 'M5 9l5-5 5 5'],
  key: [circle(6.5, 13.5, 3), 'M8.7 11.3L16 4', 'M13 7l2.5 2.5'],
  shield: ['M10 3l6 2v5c0 3.5-2.5 6-6 7-3.5-1-6-3.5-6-7V5z'],
  folder: ['M3 5h5l1.5 2H17v9H3z'],
  search: [circle(9, 9, 5), 'M13 13l4 4'],
  more: [circle(4.5, 10, 0.6), circle(10, 10, 0.6), circle(15.5, 10, 0.6)],
} as const satisfies Record<string, readonly string[]>;

export type IconName = keyof typeof ICONS;
