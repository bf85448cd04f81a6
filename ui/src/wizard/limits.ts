// What the typed choices of a set-up must be before the engine can be asked about them. A number that is out
// of its range would not even reach it.

import type { SetupRequest } from '../bindings';
import { wrongNumber, type Limits } from '../kit/limits';
import { anyWrong, wrongIn } from '../network/addresses';
import { wrongLimits } from '../run/limits';

const PORT: Limits = { min: 1, max: 65_535 };

/** The numbers of the form. */
export const LIMITS = {
  speculative_tokens: { min: 1, max: 3 },
  max_model_len: { min: 1024, max: 1_048_576 },
  gpu_memory_utilization: { min: 0.1, max: 0.95, parts: true },
  ready_timeout_s: { min: 60, max: 86_400 },
  api_port: PORT,
  master_port: PORT,
} as const satisfies Partial<Record<keyof SetupRequest, Limits>>;

/** Why the engine cannot be asked about these choices yet; `null` if it can. */
export function unfit(request: SetupRequest): string | null {
  const numbers = Object.entries(LIMITS).some(([name, limits]) => {
    if (name === 'speculative_tokens' && !request.mtp) return false;
    return wrongNumber(request[name as keyof typeof LIMITS], limits) !== null;
  });
  if (numbers) return 'A number cannot be used. Look under Choices.';
  if (wrongLimits(request.download ?? {}) !== null)
    return 'The limits of the download cannot be used. Look under Choices.';
  if (request.network && anyWrong(wrongIn(request.network)))
    return 'An address of the private link cannot be used. Look under Choices.';
  return null;
}
