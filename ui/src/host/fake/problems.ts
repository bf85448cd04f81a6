// The recorded problems, with the address and the user that were typed.

import type { Problem } from '../../bindings';
import { RECORDED } from './recorded';

export function recorded(name: string, address = '', user = 'nvidia'): Problem {
  const problem = RECORDED.problems[name];
  if (!problem) throw new Error(`no problem was recorded as ${name}`);
  const text = JSON.stringify(problem);
  return JSON.parse(text.replaceAll('ADDRESS', address).replaceAll('USER', user)) as Problem;
}
