import { expect, test } from 'vitest';

import type { CheckReceipt, CheckTime } from '../bindings';
import { receiptSentence, secondsLeft, timeSentence } from './words';

const receipt = (more: Partial<CheckReceipt>): CheckReceipt => ({
  commit: 'c',
  snapshot: '/home/owner/.cache/huggingface/hub/models--org--model/snapshots/c',
  files: 22,
  bytes: 129_400_000_000,
  deep: true,
  faults: [],
  unchecked: [],
  repaired: [],
  fetched: 0,
  seconds: 27.4,
  ...more,
});

const fault = (name: string) => ({ name, kind: 'content' as const, fault: 'Wrong.', cure: null });

test('a quick check does not claim what it did not read', () => {
  expect(receiptSentence(receipt({}))).toBe(
    'All 22 files are right: every byte was hashed, 129 GB in 27 s.',
  );
  expect(receiptSentence(receipt({ deep: false }))).toContain('the bytes themselves were not read');
});

test('what was put right and what is still wrong are both said', () => {
  const both = receipt({ repaired: ['a', 'b'], fetched: 2e10, faults: [fault('c')] });
  expect(receiptSentence(both)).toBe(
    '2 files were repaired; 20.0 GB were downloaded again. One fault was found.',
  );
});

test('the time names what it hangs on', () => {
  const time: CheckTime = {
    files: 14,
    bytes: 129e9,
    seconds: 26,
    hash_rate: 2e9,
    disk_rate: 5e9,
    cores: 14,
  };
  expect(timeSentence(time)).toContain('the disk gives 5.0 GB/s');
  expect(timeSentence({ ...time, disk_rate: 40e9 })).toContain('each core hashes 2.0 GB/s');
  expect(timeSentence({ ...time, files: 0 })).toContain('nothing to hash');
});

test('no time left is told while nothing is known', () => {
  expect(secondsLeft(1, null, 5)).toBeNull();
  expect(secondsLeft(1, 10, null)).toBeNull();
  expect(secondsLeft(1, 10, 0)).toBeNull();
  expect(secondsLeft(1, 10, 3)).toBe(3);
});
