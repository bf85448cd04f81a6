// A launch as text: its forms, and the names of the files.

import type { ExportedLaunch } from '../bindings';

export const FORMS = ['toml', 'docker-run', 'compose', 'script'] as const;
export type Form = (typeof FORMS)[number];

/** The forms that there are of it: of a recipe that is shown for reference only its own. */
export function formsOf(exported: ExportedLaunch): Form[] {
  return exported.machines.length > 0 ? [...FORMS] : ['toml'];
}

/** Whether each machine has a text of its own. */
export function isPerMachine(form: Form): boolean {
  return form === 'compose' || form === 'script';
}

/** The text of a form, for the machine in that place. */
export function textOf(exported: ExportedLaunch, form: Form, machine: number): string {
  switch (form) {
    case 'toml':
      return exported.toml;
    case 'docker-run':
      return exported.docker_run;
    case 'compose':
      return exported.machines[machine]?.compose ?? '';
    case 'script':
      return exported.machines[machine]?.script ?? '';
  }
}

/** A name for the file, of letters that every system takes. */
export function fileName(recipe: string, form: Form, machine: string | undefined): string {
  const plain = (text: string) => text.replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[.-]+/, '');
  const name = plain(recipe) || 'recipe';
  const on = machine === undefined ? '' : `-${plain(machine) || 'machine'}`;
  switch (form) {
    case 'toml':
      return `${name}.toml`;
    case 'docker-run':
      return `${name}.txt`;
    case 'compose':
      return `${name}${on}.compose.yaml`;
    case 'script':
      return `${name}${on}.sh`;
  }
}
