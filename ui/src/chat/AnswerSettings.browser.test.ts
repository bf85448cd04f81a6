// What a person sets of an answer, and what they see of it at the composer.

import { render, screen, waitFor, within } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { expect, test } from 'vitest';

import type { ImageView, Message } from '../bindings';
import { fakeHost } from '../host/fake';
import { RECORDED } from '../host/fake/recorded';
import { MODELS_OWN } from '../host/own';
import Toasts from '../kit/Toasts.svelte';
import { axeFaults } from '../test/axe';
import { Chat } from './chat.svelte';
import ChatPane from './ChatPane.svelte';
import Conversations from './Conversations.svelte';
import { emptyThread } from './stream';

const serving = RECORDED.served.overview.serving;

async function opened() {
  const host = fakeHost('serving', { tickMs: 0 });
  await waitFor(async () => expect(await host.checkServing()).not.toBeNull());
  const chat = new Chat(host);
  await chat.refresh();
  return { host, chat, user: userEvent.setup() };
}

test('settings are typed within their limits, used, and kept under a name', async () => {
  const { host, chat, user } = await opened();
  const { container } = render(ChatPane, { chat, silent: null, serving });
  await user.click(screen.getByRole('button', { name: /Settings of the answer/ }));
  const dialog = await screen.findByRole('dialog', { name: 'Settings of the answer' });
  const field = (name: string) => within(dialog).getByRole('textbox', { name });
  expect(field('Temperature'), 'the model’s own is shown').toHaveAttribute(
    'placeholder',
    '0.5, the model’s own',
  );
  await user.type(field('Temperature'), '3');
  expect(field('Temperature')).toHaveAccessibleDescription('From 0 to 2.');
  const use = within(dialog).getByRole('button', { name: 'Use these' });
  expect(use).toHaveAccessibleDescription('From 0 to 2.');
  await user.clear(field('Temperature'));
  await user.type(field('Temperature'), '0,2');
  await user.type(field('System prompt'), 'Be brief.');
  await user.type(field('Name of a preset'), 'Brief{Enter}');
  expect(await within(dialog).findByRole('button', { name: 'Brief' })).toBeVisible();
  await user.click(use);
  await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
  expect(chat.current.controls.sampling.temperature).toBe(0.2);
  expect((await host.chatControls(null)).system).toBe('Be brief.');
  expect(screen.getByRole('button', { name: /Settings of the answer/ })).toHaveTextContent('2');
  expect(await axeFaults(container)).toEqual([]);
});

test('the level is chosen where one writes and goes with the question', async () => {
  const { host, chat, user } = await opened();
  const sent: unknown[] = [];
  const { sendMessage } = host;
  host.sendMessage = async (id, ask, controls, hear) => {
    sent.push(controls);
    return sendMessage(id, ask, controls, hear);
  };
  render(ChatPane, { chat, silent: null, serving });
  await user.selectOptions(screen.getByRole('combobox', { name: 'Reasoning' }), 'low');
  await user.type(screen.getByRole('textbox', { name: 'Message' }), 'Hello{Enter}');
  await waitFor(() => expect(sent).toEqual([{ ...MODELS_OWN, level: 'low' }]));
});

test('what the question takes is shown, and one that does not fit is not sent', async () => {
  const { host, chat, user } = await opened();
  host.chatBudget = async (_, draft) => {
    const prompt = draft.text.length;
    const answer = prompt < 20 ? 100 : 0;
    return { window: 120, prompt, counted: true, answer, left_out: prompt > 10 ? 4 : 0 };
  };
  render(ChatPane, { chat, silent: null, serving });
  const field = screen.getByRole('textbox', { name: 'Message' });
  await user.type(field, 'Hello');
  expect(await screen.findByRole('meter', { name: 'Taken of the window' })).toBeVisible();
  await user.type(field, ' to you.');
  expect(await screen.findByText(/^The first 4 messages/)).toBeVisible();
  await user.type(field, ' And how are you?');
  const send = screen.getByRole('button', { name: 'Send' });
  await waitFor(() => expect(send).toHaveAccessibleDescription(/^This takes 30 tokens/));
});

test('the empty page says what the server can do, and the shortcuts are a list', async () => {
  const { chat, user } = await opened();
  render(ChatPane, { chat, silent: null, serving });
  const list = screen.getByRole('list', { name: 'What this server can do' });
  expect(list).toHaveTextContent('262,144 tokens');
  expect(list).toHaveTextContent('low, medium, high, or not at all');
  const [shortcuts] = screen.getAllByRole('button', { name: 'Shortcuts' });
  await user.click(shortcuts as HTMLElement);
  const dialog = await screen.findByRole('dialog', { name: 'Shortcuts' });
  expect(dialog).toHaveTextContent('Stop the answer');
});

test('tools that the model asks for are shown as they come, and nothing runs', async () => {
  const { chat } = await opened();
  render(ChatPane, { chat, silent: null, serving });
  const ask = { kind: 'question' as const, text: 'q', images: [] };
  const live = { asked: { ask, controls: MODELS_OWN }, answer: 'a', text: '', reasoning: '' };
  const calls = [{ name: 'find', arguments: '{"place":"Os' }];
  const times = { since: 1, firstAt: 1, textAt: 1 };
  chat.current.thread = { ...emptyThread, live: { ...live, ...times, calls } };
  const list = await screen.findByRole('list', { name: 'Tools that the model asks for' });
  expect(list).toHaveTextContent('Asks for find');
  expect(list).toHaveTextContent('{"place":"Os');
  const stats = { ttft_s: 0, tokens_per_s: 0, completion_tokens: 1, prompt_tokens: 1 };
  const message: Message = {
    id: 'a',
    role: 'assistant',
    text: '',
    reasoning: '',
    images: [],
    calls: [{ name: 'find', arguments: '{"place":"Oslo"}' }],
    at: 0,
    stats: { ...stats, cached_tokens: null, thought_s: null, finish: 'tool_calls' },
    stopped: false,
    parent: null,
    versions: ['a'],
  };
  chat.current.thread = { ...emptyThread, messages: [message] };
  expect(await screen.findByText(/asks for a tool. Tandem ran nothing/)).toBeVisible();
  expect(screen.getByRole('button', { name: 'Answer again', description: '' })).toBeVisible();
});

test('pictures say what they take and what is lost, and change places', async () => {
  const { host, chat, user } = await opened();
  let count = 0;
  host.addImage = async (): Promise<ImageView> => ({
    ...RECORDED.chat.image,
    id: `i${(count += 1)}`,
    tokens: 1200,
    notices: count === 1 ? ['Small text in it cannot be read.'] : [],
  });
  render(ChatPane, { chat, silent: null, serving });
  const file = (name: string) => new File(['x'.repeat(64)], name, { type: 'image/png' });
  const pick = screen.getByLabelText('Attach an image');
  await user.upload(pick, [file('page.png'), file('boat.png')]);
  expect(await screen.findAllByText(/about 1,200 tokens/)).toHaveLength(2);
  expect(screen.getByText('Small text in it cannot be read.')).toBeVisible();
  await user.click(screen.getByRole('button', { name: 'Move boat.png before' }));
  expect(chat.current.draft.kept.map(({ name }) => name)).toEqual(['boat.png', 'page.png']);
  expect(screen.queryByRole('button', { name: 'Move boat.png before' })).toBeNull();
});

test('conversations are imported from a file and exported to one', async () => {
  const { chat, user } = await opened();
  render(Toasts);
  render(Conversations, { chat, opened: () => {} });
  const messages = [
    { role: 'user', content: 'Which knot?' },
    { role: 'assistant', content: 'A bowline.' },
  ];
  const file = new File([JSON.stringify({ messages })], 'chat.json', { type: 'application/json' });
  await user.upload(screen.getByLabelText('Import conversations'), file);
  expect(await screen.findByText('Imported 1 conversation with 2 messages.')).toBeVisible();
  expect(chat.current.thread.messages.map(({ text }) => text)).toEqual([
    'Which knot?',
    'A bowline.',
  ]);
  await user.click(screen.getByRole('button', { name: 'More for “Which knot?”' }));
  await user.click(await screen.findByRole('menuitem', { name: 'Export as Markdown' }));
  expect(await screen.findByText('Written to /home/you/Which knot?.md.')).toBeVisible();
});
