import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import { again } from './again';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  hide(false);
  vi.useRealTimers();
});

function hide(hidden: boolean): void {
  Object.defineProperty(document, 'hidden', { configurable: true, value: hidden });
  document.dispatchEvent(new Event('visibilitychange'));
}

it('never asks while an answer is still awaited, and rests in between', async () => {
  let going = 0;
  let most = 0;
  const act = vi.fn(async () => {
    going += 1;
    most = Math.max(most, going);
    await new Promise((done) => setTimeout(done, 10_000));
    going -= 1;
  });
  const stop = again(act, 1000);
  await vi.advanceTimersByTimeAsync(10_500);
  expect(act, 'it rests for a second first').toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(22_000);
  expect(act).toHaveBeenCalledTimes(3);
  expect(most).toBe(1);
  stop();
});

it('goes on after a failure', async () => {
  const act = vi.fn().mockRejectedValueOnce(new Error('gone')).mockResolvedValue(undefined);
  const stop = again(act, 1000);
  await vi.advanceTimersByTimeAsync(1500);
  expect(act).toHaveBeenCalledTimes(2);
  stop();
});

it('stands still while the window is hidden, and looks at once when it is back', async () => {
  const act = vi.fn(async () => undefined);
  const stop = again(act, 1000);
  await vi.advanceTimersByTimeAsync(0);
  hide(true);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(act).toHaveBeenCalledTimes(1);
  hide(false);
  expect(act).toHaveBeenCalledTimes(2);
  stop();
});

it('ends when it is stopped, even in the middle of an answer', async () => {
  const act = vi.fn(async () => new Promise((done) => setTimeout(done, 500)));
  const stop = again(act, 1000);
  stop();
  await vi.advanceTimersByTimeAsync(10_000);
  hide(false);
  expect(act).toHaveBeenCalledTimes(1);
});
