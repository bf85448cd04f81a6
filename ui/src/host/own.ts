// Settings of an answer that nobody made: all is the model's own.

import type { Controls } from '../bindings';

/** The level that asks the model not to reason. */
export const OFF = 'off';

export const MODELS_OWN: Controls = {
  system: '',
  level: null,
  max_tokens: null,
  sampling: {
    temperature: null,
    top_p: null,
    top_k: null,
    min_p: null,
    presence_penalty: null,
    frequency_penalty: null,
    repetition_penalty: null,
    seed: null,
    stop: [],
  },
  format: { kind: 'text' },
};
