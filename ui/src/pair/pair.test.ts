import { expect, it } from 'vitest';

import { fakeHost, type FakeState } from '../host/fake';
import { link, servingWords, sides, weightsMove } from './pair';

const overview = (state: FakeState) => fakeHost(state, { frozen: true }).overview();
const part = {
  machine: 'spark-a',
  done: 30,
  total: 100,
  unit: 'bytes',
  rate: 5,
  doing: 'Downloading',
};

it('keeps two empty places where nothing is, and one beside a single machine', async () => {
  expect(sides(await overview('empty'), []).map((s) => s.machine)).toEqual([null, null]);
  const [first, second] = sides(await overview('one'), []);
  expect(first.state).toBe('Ready');
  expect(second).toMatchObject({ machine: null, state: 'Optional' });
  expect(link(await overview('one')).state).toBe('none');
});

it('says who does not answer, and that the cable cannot be seen then', async () => {
  const found = await overview('unreachable');
  expect(sides(found, [])[1]).toMatchObject({ state: 'Does not answer', trouble: true });
  expect(link(found).state).toBe('unknown');
});

it('sees the cable by the carrier of both ends', async () => {
  const found = await overview('pair');
  expect(link(found)).toMatchObject({ state: 'up', rails: 2 });
  for (const card of found.machines[1]?.facts?.interfaces ?? [])
    if (card.fabric) card.carrier = false;
  expect(link(found)).toMatchObject({ state: 'down', words: 'No cable seen between them' });
});

it('fills a side with the work that goes on there', async () => {
  expect(sides(await overview('pair'), [part])[0]).toMatchObject({ work: 0.3 });
});

it('lets bytes run only while weights move', () => {
  expect(weightsMove([part])).toBe(true);
  expect(weightsMove([{ ...part, rate: 0 }])).toBe(false);
  expect(weightsMove([{ ...part, done: 100 }])).toBe(false);
  expect(weightsMove([{ ...part, unit: 'shards' }])).toBe(false);
});

it('says what is served in a sentence', async () => {
  const found = await overview('pair');
  expect(servingWords(found)).toBe('');
  found.serving = {
    model: 'step-3.7-flash',
    machine: '',
    machine_name: '',
    port: 8000,
    speculative_tokens: 3,
    run: '',
    tg_tps: 27.61,
    against_plain: 1.634,
    max_model_len: 262_144,
  };
  expect(servingWords(found)).toBe('Serving step-3.7-flash with MTP, 27.6 tokens/s, 1.6 × plain');
});
