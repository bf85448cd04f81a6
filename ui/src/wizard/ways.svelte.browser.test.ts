// The ways to MTP in the choices: which is proposed, why, and what a person makes of it.

import { render, screen } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { expect, test, vi } from 'vitest';

import type { Proposal } from '../bindings';
import { defaults } from '../host/fake/plan';
import Choices from './Choices.svelte';

const PROPOSAL: Proposal = { way: 'draft', reason: 'A draft of its own needs no change.' };

test('the proposed way is marked with its reason, and each may be chosen', async () => {
  const onchange = vi.fn();
  const request = $state(defaults([]));
  render(Choices, { request, names: [], proposal: PROPOSAL, onchange });
  const proposed = screen.getByRole('radio', { name: 'Draft (proposed)' });
  expect(proposed).toBeChecked();
  expect(screen.getByText(PROPOSAL.reason)).toBeVisible();

  await userEvent.click(screen.getByRole('radio', { name: 'Overlay' }));
  expect(request.mtp_way).toBe('overlay');
  expect(onchange).toHaveBeenCalled();
  expect(screen.queryByText(PROPOSAL.reason), 'the reason is that of the proposal').toBeNull();

  await userEvent.click(proposed);
  expect(request.mtp_way, 'what is proposed stays open to what the machines tell').toBeNull();
});
