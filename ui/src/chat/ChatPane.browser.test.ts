// What a person meets: found by role and name, as a screen reader would.

import { render, screen, waitFor, within } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { expect, test } from 'vitest';

import { fakeHost } from '../host/fake';
import { RECORDED } from '../host/fake/recorded';
import { axeFaults } from '../test/axe';
import { Chat } from './chat.svelte';
import ChatPane from './ChatPane.svelte';
import Conversations from './Conversations.svelte';
import Markdown from './Markdown.svelte';

async function serving() {
  const host = fakeHost('serving', { tickMs: 0 });
  await waitFor(async () => expect(await host.checkServing()).not.toBeNull());
  const chat = new Chat(host);
  await chat.refresh();
  return { host, chat };
}

test('a question is answered, with its reasoning apart and its figures below', async () => {
  const { chat } = await serving();
  render(ChatPane, { chat, silent: null });
  const user = userEvent.setup();
  const field = screen.getByRole('textbox', { name: 'Message' });
  await user.type(field, 'What is it?{Shift>}{Enter}{/Shift}Say more.{Enter}');
  const log = await screen.findByRole('log', { name: 'Conversation' });
  expect(log).toHaveAttribute('aria-busy', 'true');
  expect(log).toHaveTextContent('What is it? Say more.');
  expect(field).toHaveValue('');
  expect(field).toHaveFocus();
  expect(await screen.findByText('Thinking')).toBeVisible();
  await user.click(screen.getByRole('button', { name: 'Stop' }));
  expect(await screen.findByText('Stopped by you.')).toBeVisible();
  expect(log).toHaveAttribute('aria-busy', 'false');
  expect(field, 'the keyboard did not go with the Stop button').toHaveFocus();
});

test('an answer that breaks off says why and can be asked for again', async () => {
  const { chat } = await serving();
  chat.thinking = false;
  render(ChatPane, { chat, silent: null });
  const user = userEvent.setup();
  await user.type(screen.getByRole('textbox', { name: 'Message' }), 'fail{Enter}');
  const card = await screen.findByRole('alert', {}, { timeout: 4000 });
  expect(card).toHaveTextContent(RECORDED.chat.broken.message);
  const log = screen.getByRole('log');
  expect(within(log).getAllByText('fail')).toHaveLength(1);
  await user.click(within(card).getByRole('button', { name: 'Try again' }));
  expect(log).toHaveAttribute('aria-busy', 'true');
});

test('an image is picked, shown, and can be taken out again', async () => {
  const { chat } = await serving();
  render(ChatPane, { chat, silent: null });
  const user = userEvent.setup();
  const picture = Object.assign(new File(['x'], 'boat.png', { type: 'image/png' }), {
    arrayBuffer: async () => new ArrayBuffer(64),
  });
  await user.upload(screen.getByLabelText('Attach an image'), picture);
  expect(await screen.findByRole('img', { name: 'boat.png' })).toBeVisible();
  await user.click(screen.getByRole('button', { name: 'Remove boat.png' }));
  expect(screen.queryByRole('img', { name: 'boat.png' })).toBeNull();
});

test('nothing served: writing is possible, sending is not and says why', async () => {
  const chat = new Chat(fakeHost('pair', { tickMs: 0 }));
  render(ChatPane, { chat, silent: 'Nothing is served that could answer.' });
  expect(screen.getByRole('button', { name: 'Send' })).toHaveAccessibleDescription(
    'Nothing is served that could answer.',
  );
  await userEvent.type(screen.getByRole('textbox', { name: 'Message' }), 'Hello{Enter}');
  expect(chat.current.draft.text).toBe('Hello');
});

test('conversations are opened by arrows and Enter, and deleted after a question', async () => {
  const { chat } = await serving();
  render(Conversations, { chat, opened: () => {} });
  const user = userEvent.setup();
  const rows = screen.getAllByRole('button').filter((button) => button.classList.contains('open'));
  expect(rows).toHaveLength(2);
  rows[0]?.focus();
  await user.keyboard('{ArrowDown}{Enter}');
  await waitFor(() => expect(rows[1]).toHaveAttribute('aria-current', 'true'));
  await user.keyboard('{Delete}');
  const dialog = await screen.findByRole('dialog', { name: 'Delete this conversation?' });
  await user.click(within(dialog).getByRole('button', { name: 'Cancel' }));
  expect(chat.list).toHaveLength(2);
  await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
  rows[1]?.focus();
  await user.keyboard('{Delete}');
  await user.click(await screen.findByRole('button', { name: 'Delete it' }));
  await waitFor(() => expect(chat.list).toHaveLength(1));
});

test('what the model writes loads nothing and leads nowhere', () => {
  const { container } = render(Markdown, {
    source:
      '<img src="https://example.org/a.png"> ![x](https://example.org/b.png) [bank](https://evil.example/x)\n\n[run](javascript:alert(1))\n\n```html\n<script>alert(1)</script>\n```',
  });
  expect(container.querySelector('img, a, script, iframe, [src], [href]')).toBeNull();
  expect(container).toHaveTextContent('evil.example');
  expect(
    screen.getByRole('button', { name: 'Copy link https://evil.example/x' }),
  ).toBeInTheDocument();
  expect(screen.queryByRole('button', { name: /javascript/ })).toBeNull();
  expect(screen.getByRole('button', { name: 'Copy code' })).toBeInTheDocument();
});

test('a conversation with everything in it has no fault that axe knows', async () => {
  const { chat } = await serving();
  const [pictured] = RECORDED.chat.conversations.filter((c) => c.messages[0]?.images.length);
  await chat.open(pictured?.summary.id ?? '');
  const { container } = render(ChatPane, { chat, silent: null });
  await screen.findByRole('button', { name: 'Show the picture large' });
  expect(await axeFaults(container)).toEqual([]);
});

test('the view follows the newest words until the person moves it up, however little', async () => {
  const { chat } = await serving();
  const { container } = render(ChatPane, { chat, silent: null });
  Object.assign(container.style, { display: 'grid', height: '400px' });
  const { current } = chat;
  const question = { text: 'q', images: [], thinking: false };
  const live = { question, answer: 'a', reasoning: '', since: 1, firstAt: 1, textAt: 1 };
  const show = async (lines: number) => {
    const text = Array.from({ length: lines }, (_, i) => `Line ${i}.\n\n`).join('');
    current.thread = { messages: [], live: { ...live, text }, failure: null };
    await screen.findByText(`Line ${lines - 1}.`);
    // The size is watched after the frame that has it.
    for (let n = 0; n < 3; n += 1) await new Promise((done) => requestAnimationFrame(done));
  };
  await show(60);
  const log = screen.getByRole('log');
  const left = () => log.scrollHeight - log.clientHeight - log.scrollTop;
  expect(log.scrollHeight).toBeGreaterThan(log.clientHeight + 100);
  expect(left()).toBeLessThan(2);
  await show(70);
  expect(left(), 'it follows').toBeLessThan(2);

  log.scrollTop -= 12;
  const stays = log.scrollTop;
  await show(80);
  expect(log.scrollTop, 'it lets go').toBe(stays);
  await userEvent.setup().click(screen.getByRole('button', { name: 'To the newest words' }));
  await show(90);
  expect(left(), 'it follows again').toBeLessThan(2);
});
