// The recorded plan that comes nearest to what was asked for.

import type { PlanView, SetupRequest } from '../../bindings';
import { RECORDED } from './recorded';

/** The choices that were proposed when it was recorded. */
export function defaults(machines: number): SetupRequest {
  const { pair, one } = RECORDED.plans;
  return structuredClone((machines > 1 ? pair : one).request);
}

/** The plan of a recipe; of another than was recorded it is the other one under its name. */
export function recipePlan(id: string, machines: number): PlanView {
  const { other, recipes } = RECORDED.plans;
  const known = [...recipes, RECORDED.imports.listed];
  if (id === defaults(machines).recipe) return planFor(defaults(machines));
  const title = known.find((recipe) => recipe.id === id)?.title ?? other.title;
  return structuredClone({ ...other, title, request: { ...other.request, recipe: id } });
}

/** What these choices would do. Those are refused that were refused when it was recorded. */
export function planFor(request: SetupRequest): PlanView {
  const { pair, plain, one, other, refused } = RECORDED.plans;
  const best = request.variant === pair.request.variant;
  const own = request.recipe === pair.request.recipe;
  const nearest = !own ? other : request.machines.length < 2 ? one : best ? pair : plain;
  const view = structuredClone(nearest);
  const chosen = request.choices ?? {};
  const settings = view.settings.map((s) => ({ ...s, value: chosen[s.id] ?? s.proposed }));
  const bad = (choices: SetupRequest['choices']) =>
    Object.entries(choices ?? {}).every(([id, value]) => chosen[id] === value);
  const problems = refused.filter((r) => bad(r.request.choices)).flatMap((r) => r.problems);
  const plan = problems.length > 0 ? { ...view.plan, steps: [] } : view.plan;
  return { ...view, request, settings, problems, plan };
}
