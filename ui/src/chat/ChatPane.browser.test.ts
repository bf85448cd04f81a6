// What a person meets: found by role and name, as a screen reader would.

import { render, screen, waitFor, within } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { expect, test } from 'vitest';

import { fakeHost } from '../host/fake';
import { RECORDED } from '../host/fake/recorded';
import { MODELS_OWN, OFF } from '../host/own';
import { axeFaults } from '../test/axe';
import { Chat } from './chat.svelte';
import ChatPane from './ChatPane.svelte';
import Conversations from './Conversations.svelte';
import Markdown from './Markdown.svelte';
import { emptyThread } from './stream';
import Toasts from '../kit/Toasts.svelte';

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
  await chat.current.set({ ...MODELS_OWN, level: OFF });
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
  const picture = new File(['x'.repeat(64)], 'boat.png', { type: 'image/png' });
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

test('conversations are opened by arrows and Enter, renamed, and brought back after Delete', async () => {
  const { chat } = await serving();
  render(Toasts);
  const { container } = render(Conversations, { chat, opened: () => {} });
  const user = userEvent.setup();
  const rows = () => [...container.querySelectorAll<HTMLElement>('button.open')];
  expect(rows()).toHaveLength(2);
  rows()[0]?.focus();
  await user.keyboard('{ArrowDown}{Enter}');
  await waitFor(() => expect(rows()[1]).toHaveAttribute('aria-current', 'true'));
  expect(await axeFaults(container)).toEqual([]);
  await user.keyboard('{F2}');
  const field = await screen.findByRole('textbox', { name: 'Name of the conversation' });
  await waitFor(() => expect(field).toHaveFocus());
  await user.keyboard('Boats{Enter}');
  const renamed = await screen.findByRole('button', { name: 'Boats' });
  await waitFor(() => expect(renamed).toHaveFocus());
  await user.keyboard('{Delete}');
  await waitFor(() => expect(chat.list).toHaveLength(1));
  await user.click(screen.getByRole('button', { name: 'Undo' }));
  await waitFor(() => expect(chat.list).toHaveLength(2));
});

test('a conversation is pinned and archived from its menu', async () => {
  const { chat } = await serving();
  render(Conversations, { chat, opened: () => {} });
  const user = userEvent.setup();
  const more = () => screen.getAllByRole('button', { name: /^More for/ });
  await user.click(more()[1] as HTMLElement);
  await user.click(await screen.findByRole('menuitem', { name: 'Pin' }));
  expect(await screen.findByRole('list', { name: 'Pinned' })).toBeVisible();
  await user.click(more()[0] as HTMLElement);
  await user.click(await screen.findByRole('menuitem', { name: 'Archive' }));
  const archive = await screen.findByRole('button', { name: 'Archive (1)' });
  await waitFor(() => expect(more()).toHaveLength(1));
  await user.click(archive);
  await waitFor(() => expect(more()).toHaveLength(1));
  expect(screen.getByRole('button', { name: 'Back to all conversations' })).toBeVisible();
});

test('what was said is found as one types, and a hit opens its conversation at the message', async () => {
  const { chat } = await serving();
  render(Conversations, { chat, opened: () => {} });
  const user = userEvent.setup();
  await user.type(screen.getByRole('searchbox', { name: 'Search all conversations' }), 'engines');
  const hits = await screen.findByRole('list', { name: 'Messages' });
  expect(within(hits).getAllByText('engines')[0]).toBeVisible();
  await user.click(within(hits).getAllByRole('button')[0] as HTMLElement);
  await waitFor(() => expect(chat.current.sought).not.toBeNull());
  await user.type(screen.getByRole('searchbox'), 'zzz');
  expect(await screen.findByText('Nothing holds these words.')).toBeVisible();
});

test('an answer is asked for again, its versions are turned, and a question is edited, by keyboard', async () => {
  const { chat } = await serving();
  await chat.current.set({ ...MODELS_OWN, level: OFF });
  const { container } = render(ChatPane, { chat, silent: null });
  const user = userEvent.setup();
  await user.type(screen.getByRole('textbox', { name: 'Message' }), 'One{Enter}');
  const answered = () => expect(chat.current.answering).toBe(false);
  const again = await screen.findByRole('button', { name: 'Answer again' }, { timeout: 10_000 });
  again.focus();
  expect(getComputedStyle(again.parentElement as HTMLElement).opacity).toBe('1');
  await user.keyboard('{Enter}');
  const before = await screen.findByRole('button', { name: 'Version before' }, { timeout: 10_000 });
  await waitFor(answered);
  expect(screen.getByText('2/2')).toBeVisible();
  before.focus();
  await user.keyboard('{Enter}');
  expect(await screen.findByText('1/2')).toBeVisible();
  expect(screen.getAllByRole('article', { name: 'You' })).toHaveLength(1);

  screen.getByRole('button', { name: 'Edit the question' }).focus();
  await user.keyboard('{Enter}');
  const field = await screen.findByRole('textbox', { name: 'Question' });
  expect(field).toHaveFocus();
  expect(await axeFaults(container)).toEqual([]);
  await user.keyboard(' more{Enter}');
  expect(await screen.findByText('One more')).toBeVisible();
  await waitFor(answered, { timeout: 10_000 });
  const question = screen.getByRole('article', { name: 'You' });
  expect(within(question).getByText('2/2')).toBeVisible();
});

test('a deleted message is brought back with what followed it', async () => {
  const { chat } = await serving();
  await chat.current.set({ ...MODELS_OWN, level: OFF });
  render(Toasts);
  render(ChatPane, { chat, silent: null });
  const user = userEvent.setup();
  await user.type(screen.getByRole('textbox', { name: 'Message' }), 'One{Enter}');
  await screen.findByRole('button', { name: 'Delete the answer' }, { timeout: 10_000 });
  await waitFor(() => expect(chat.current.answering).toBe(false));
  await user.click(screen.getByRole('button', { name: 'Delete the question' }));
  await waitFor(() => expect(chat.current.thread.messages).toHaveLength(0));
  const undo = screen.getAllByRole('button', { name: 'Undo' }).at(-1);
  await user.click(undo as HTMLElement);
  await waitFor(() => expect(chat.current.thread.messages).toHaveLength(2));
});

test('a stopped answer is continued, and one that thinking used up offers more', async () => {
  const { chat } = await serving();
  render(ChatPane, { chat, silent: null });
  const user = userEvent.setup();
  const field = screen.getByRole('textbox', { name: 'Message' });
  await user.type(field, 'think{Enter}');
  const more = await screen.findByRole(
    'button',
    { name: 'Answer again with more tokens' },
    { timeout: 20_000 },
  );
  expect(screen.getByText(/^Thinking used all/)).toBeVisible();
  await user.click(more);
  await waitFor(() => expect(chat.current.answering).toBe(true));
  await waitFor(() => expect(chat.current.thread.live?.text).not.toBe(''), { timeout: 20_000 });
  await user.click(screen.getByRole('button', { name: 'Stop' }));
  await user.click(await screen.findByRole('button', { name: 'Continue' }));
  await waitFor(() => expect(chat.current.answering).toBe(true));
  await waitFor(() => expect(chat.current.answering).toBe(false), { timeout: 20_000 });
  expect(chat.current.thread.messages).toHaveLength(2);
  expect(screen.queryByText('Stopped by you.')).toBeNull();
});

test('Enter that ends a composition sends nothing, and a pasted text keeps its picture out', async () => {
  const { chat } = await serving();
  render(ChatPane, { chat, silent: null });
  const field = screen.getByRole('textbox', { name: 'Message' });
  await userEvent.setup().type(field, 'ni');
  field.dispatchEvent(
    new KeyboardEvent('keydown', { key: 'Enter', keyCode: 229, bubbles: true, cancelable: true }),
  );
  expect(chat.current.answering).toBe(false);
  const data = new DataTransfer();
  data.setData('text/plain', 'a\tb');
  data.items.add(new File(['x'.repeat(64)], 'cells.png', { type: 'image/png' }));
  const paste = new ClipboardEvent('paste', {
    clipboardData: data,
    bubbles: true,
    cancelable: true,
  });
  field.dispatchEvent(paste);
  expect(paste.defaultPrevented, 'the field takes the text').toBe(false);
  expect(chat.current.draft.attachments).toHaveLength(0);
  await userEvent.setup().click(await screen.findByRole('button', { name: 'Attach the picture' }));
  await waitFor(() => expect(chat.current.draft.attachments).toHaveLength(1));
});

test('earlier messages come when one scrolls up, and what one reads stays where it is', async () => {
  const { chat, host } = await serving();
  const said = (n: number) => ({
    id: `m${n}`,
    role: n % 2 ? ('assistant' as const) : ('user' as const),
    text: `Message ${n}. ${'Words. '.repeat(60)}`,
    reasoning: '',
    images: [],
    calls: [],
    at: 0,
    stats: null,
    stopped: false,
    parent: n > 0 ? `m${n - 1}` : null,
    versions: [`m${n}`],
  });
  host.conversation = async (_, before) => {
    const end = before === null ? 100 : Number(before.slice(1));
    const from = Math.max(0, end - (before === null ? 12 : 40));
    const messages = Array.from({ length: end - from }, (_, i) => said(from + i));
    return { messages, earlier: from > 0, answering: null };
  };
  await chat.open('long');
  const { container } = render(ChatPane, { chat, silent: null });
  Object.assign(container.style, { display: 'grid', height: '500px' });
  const log = screen.getByRole('log');
  await waitFor(() => expect(log.scrollHeight).toBeGreaterThan(log.clientHeight + 700));
  const shown = () => log.querySelectorAll('[data-message]').length;
  const before = shown();
  const row = () => log.querySelector<HTMLElement>('[data-message="m90"]') as HTMLElement;
  log.scrollTop = 300;
  const top = row().getBoundingClientRect().top;
  await waitFor(() => expect(shown()).toBeGreaterThan(before));
  expect(Math.abs(row().getBoundingClientRect().top - top)).toBeLessThan(2);
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
  const asked = {
    ask: { kind: 'question' as const, text: 'q', images: [] },
    controls: MODELS_OWN,
  };
  const live = { asked, answer: 'a', reasoning: '', calls: [], since: 1, firstAt: 1, textAt: 1 };
  const show = async (lines: number) => {
    const text = Array.from({ length: lines }, (_, i) => `Line ${i}.\n\n`).join('');
    current.thread = { ...emptyThread, live: { ...live, text } };
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
