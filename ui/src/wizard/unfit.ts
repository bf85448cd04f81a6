// Why the engine cannot be asked about the choices in view. A setting is judged by the engine; an address or a
// limit of the download that cannot be read would not even reach it.

import type { SetupRequest } from '../bindings';
import { anyWrong, wrongIn } from '../network/addresses';
import { wrongLimits } from '../run/limits';

/** Why the engine cannot be asked about these choices yet; `null` if it can. */
export function unfit(request: SetupRequest): string | null {
  if (wrongLimits(request.download ?? {}) !== null)
    return 'The limits of the download cannot be used. Look under Choices.';
  if (request.network && anyWrong(wrongIn(request.network)))
    return 'An address of the private link cannot be used. Look under Choices.';
  return null;
}
