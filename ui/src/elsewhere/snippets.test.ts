import { expect, test } from 'vitest';

import { addressOf, KEY, snippets, type Target } from './snippets';

const target: Target = {
  address: addressOf(8000),
  model: 'step-3.7-flash',
  key: KEY,
  messages: true,
};

test('each names the address, the model and the key', () => {
  for (const { id, text } of snippets(target)) {
    expect(text, id).toContain('http://127.0.0.1:8000');
    expect(text, id).toContain(target.key);
    if (id !== 'open-webui') expect(text, id).toContain(target.model);
  }
});

test('what the engine does not answer is not offered', () => {
  const ids = (messages: boolean) => snippets({ ...target, messages }).map((s) => s.id);
  expect(ids(true)).toContain('claude');
  expect(ids(false)).not.toContain('claude');
});

test('files are of their form, and no name breaks out of its word', () => {
  const odd = { ...target, model: `a'b"c $(x) \`y\`` };
  const of = (id: string) => snippets(odd).find((s) => s.id === id)?.text ?? '';
  const json = JSON.parse(of('opencode')) as { provider: { tandem: { models: object } } };
  expect(Object.keys(json.provider.tandem.models)).toEqual([odd.model]);
  expect(of('curl')).toContain(`a'\\''b\\"c $(x)`);
  expect(of('openai')).toContain(`model=${JSON.stringify(odd.model)}`);
});
