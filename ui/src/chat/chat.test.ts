import { beforeEach, describe, expect, test, vi } from 'vitest';

import {
  LIMITS,
  type ChatAsk,
  type ChatDraft,
  type ChatEvent,
  type Controls,
  type ConversationNews,
  type ConversationPage,
  type ConversationSummary,
  type Message,
  type Problem,
} from '../bindings';
import { RECORDED } from '../host/fake/recorded';
import { problem } from '../test/problem';
import type { Host } from '../host/host';
import { MODELS_OWN, OFF } from '../host/own';
import { Chat } from './chat.svelte';

const lost: Problem = problem('connection-lost', 'The answer broke off.');

let count = 0;

function message(role: Message['role'], text: string, more: Partial<Message> = {}): Message {
  count += 1;
  const id = `message-${count}`;
  const said = { id, role, text, reasoning: '', images: [], at: 0, parent: null, versions: [id] };
  return { ...said, calls: [], stats: null, stopped: false, ...more };
}

/** A host whose answers come when the test says so. */
class Scripted {
  list: ConversationSummary[] = [];
  kept: Message[] = [];
  tell: (event: ChatEvent) => void = () => {};
  refuses: Problem | null = null;
  sent: unknown[][] = [];
  stopAnswer = vi.fn(async () => null);
  deleteConversation = vi.fn(async (id: string) => {
    this.list = this.list.filter((summary) => summary.id !== id);
    return null;
  });
  addImage = vi.fn(async () => RECORDED.chat.image);
  image = vi.fn(async () => RECORDED.chat.image);
  listConversations = async () => this.list;
  drafts = new Map<string | null, ChatDraft>();
  news: (news: ConversationNews) => void = () => {};
  answering: string | null = null;
  page = (): ConversationPage => ({
    messages: this.kept,
    earlier: false,
    answering: this.answering,
  });
  conversation = vi.fn(async () => this.page());
  showVersion = vi.fn(async () => this.page());
  deleteMessage = vi.fn(async () => this.page());
  restoreMessage = vi.fn(async () => this.page());
  chatDraft = async (id: string | null) => this.drafts.get(id) ?? { text: '', images: [] };
  saveChatDraft = async (id: string | null, draft: ChatDraft) => {
    this.drafts.set(id, draft);
    return null;
  };
  controls = new Map<string | null, Controls>();
  chatControls = async (id: string | null) => this.controls.get(id) ?? MODELS_OWN;
  saveChatControls = vi.fn(async (id: string | null, controls: Controls) => {
    this.controls.set(id, controls);
    return null;
  });
  watchConversations = async (hear: (news: ConversationNews) => void) => {
    this.news = hear;
    return null;
  };
  sendMessage = async (...args: unknown[]) => {
    this.sent.push(args.slice(0, 3));
    if (this.refuses) throw this.refuses;
    this.tell = args[3] as (event: ChatEvent) => void;
    const asked = args[1] as ChatAsk;
    const title = asked.kind === 'question' ? asked.text : 'c1';
    this.list = [{ id: 'c1', title, updated_at: 1, pinned: false, archived: false }];
    return 'c1';
  };

  begin(text = 'Hello', answer = 'a1'): void {
    const begun = message('assistant', '', { id: answer });
    this.tell({ kind: 'began', question: message('user', text), answer: begun });
  }
}

let host: Scripted;
let chat: Chat;

/** As a browser reads a file. */
class Reader {
  result = '';
  onload = () => {};
  onerror = () => {};
  readAsDataURL(): void {
    this.result = 'data:image/png;base64,AAAA';
    queueMicrotask(() => this.onload());
  }
}

beforeEach(() => {
  vi.stubGlobal('FileReader', Reader);
  host = new Scripted();
  chat = new Chat(host as unknown as Host, () => 1000);
});

async function say(text: string): Promise<void> {
  chat.current.draft.text = text;
  await chat.current.send();
}

const brief = { ...MODELS_OWN, level: OFF };
const asks = (text: string, images: string[] = []) => ({ kind: 'question', text, images });

describe('a question', () => {
  test('opens a conversation, empties the draft and grows into an answer', async () => {
    await say('  Hello ');
    expect(host.sent).toEqual([[null, asks('Hello'), MODELS_OWN]]);
    expect(chat.current.draft.text).toBe('');
    host.begin();
    host.tell({ kind: 'words', content: 'Good day', reasoning: '', calls: [] });
    expect(chat.current.thread.live?.text).toBe('Good day');
    host.tell({ kind: 'ended', message: message('assistant', 'Good day.') });
    expect(chat.current.id).toBe('c1');
    expect(chat.current.thread.messages.map((said) => said.text)).toEqual(['Hello', 'Good day.']);
    expect(chat.current.answering).toBe(false);
  });

  test('an empty one is not sent, and none while an answer comes', async () => {
    await say('   ');
    expect(host.sent).toHaveLength(0);
    await say('Hello');
    await say('And then?');
    expect(host.sent).toHaveLength(1);
    expect(chat.current.draft.text, 'what was typed stays').toBe('And then?');
  });

  test('that is refused stays in view and can be sent again', async () => {
    host.refuses = problem('nothing-served', 'The message was not sent.');
    await say('Hello');
    expect(chat.current.thread.failure?.problem.code).toBe('nothing-served');
    expect(chat.current.thread.messages.map((said) => said.text)).toEqual(['Hello']);
    host.refuses = null;
    await chat.current.set(brief);
    await chat.current.again();
    expect(host.sent.at(-1)).toEqual([null, asks('Hello'), brief]);
    expect(chat.current.thread.failure).toBeNull();
  });

  test('whose answer breaks off keeps the words and their question', async () => {
    await say('Hello');
    host.begin();
    host.tell({ kind: 'failed', problem: lost, message: message('assistant', 'Good') });
    expect(chat.current.thread.messages.map((said) => said.text)).toEqual(['Hello', 'Good']);
    const [, cut] = chat.current.thread.messages;
    await chat.current.again();
    expect(host.sent.at(-1)?.[1], 'the question is not asked twice').toEqual({
      kind: 'again',
      message: cut?.id,
    });
  });
});

describe('Stop', () => {
  test('names the answer', async () => {
    await say('Hello');
    host.begin('Hello', 'a7');
    await chat.current.stop();
    expect(host.stopAnswer).toHaveBeenCalledExactlyOnceWith('a7');
  });

  test('before the answer has a name it waits for it', async () => {
    await say('Hello');
    await chat.current.stop();
    expect(host.stopAnswer).not.toHaveBeenCalled();
    host.begin('Hello', 'a8');
    expect(host.stopAnswer).toHaveBeenCalledExactlyOnceWith('a8');
    host.tell({ kind: 'ended', message: message('assistant', '', { stopped: true }) });
    expect(chat.current.stopping).toBe(false);
  });
});

describe('several conversations', () => {
  test('an answer goes on while another one is open', async () => {
    await say('Hello');
    host.begin();
    const first = chat.current;
    chat.begin();
    expect(chat.current).not.toBe(first);
    host.tell({ kind: 'words', content: 'Still here', reasoning: '', calls: [] });
    expect(chat.answering('c1')).toBe(true);
    await chat.open('c1');
    expect(chat.current.thread.live?.text).toBe('Still here');
  });

  test('one that is deleted makes room for a new one', async () => {
    await say('Hello');
    host.begin();
    host.tell({ kind: 'ended', message: message('assistant', 'Hi') });
    await chat.remove('c1');
    expect(chat.current.id).toBeNull();
    expect(chat.list).toEqual([]);
  });

  test('a new one that is empty is not begun twice', () => {
    const empty = chat.current;
    chat.begin();
    expect(chat.current).toBe(empty);
  });
});

describe('pictures', () => {
  const file = (name: string, type = 'image/png') => new File(['x'.repeat(64)], name, { type });

  test('go with the question by their id', async () => {
    await chat.current.draft.attach([file('a.png')]);
    expect(chat.current.draft.attachments[0]).toMatchObject({
      name: 'a.png',
      view: RECORDED.chat.image,
    });
    await say('What is it?');
    expect(host.sent[0]?.[1]).toEqual(asks('What is it?', [RECORDED.chat.image.id]));
  });

  test('alone are a question too; other files are none', async () => {
    await chat.current.draft.attach([file('a.txt', 'text/plain')]);
    expect(chat.current.draft.blocked).toBe('Write something first.');
    expect(chat.current.draft.notice, 'nothing is left out without a word').toContain('a.txt');
    await chat.current.draft.attach([file('a.png')]);
    expect(chat.current.draft.blocked).toBeNull();
  });

  test('that cannot be used say why and hold the question back until removed', async () => {
    host.addImage.mockRejectedValueOnce(problem('bad-image', 'The image was not added.'));
    await chat.current.draft.attach([file('broken.png')]);
    const [broken] = chat.current.draft.attachments;
    expect(broken?.problem?.code).toBe('bad-image');
    await say('Look');
    expect(host.sent).toHaveLength(0);
    chat.current.draft.remove(broken?.key ?? -1);
    expect(chat.current.draft.blocked).toBeNull();
  });

  test('that are far too large are not even read', async () => {
    const huge = file('huge.png');
    Object.defineProperty(huge, 'size', { value: LIMITS.picture_bytes.most + 1 });
    await chat.current.draft.attach([huge]);
    expect(host.addImage).not.toHaveBeenCalled();
    expect(chat.current.draft.attachments[0]?.problem?.message).toContain('huge.png');
  });

  test('are at most four', async () => {
    await chat.current.draft.attach(['1', '2', '3', '4', '5'].map((name) => file(name)));
    expect(chat.current.draft.attachments).toHaveLength(4);
    expect(chat.current.draft.full).toBe(true);
    expect(chat.current.draft.notice).toContain('5');
  });

  test('are asked for once, unless it failed', async () => {
    await chat.picture('p');
    await chat.picture('p');
    expect(host.image).toHaveBeenCalledTimes(1);
    host.image.mockRejectedValueOnce(lost);
    await expect(chat.picture('q')).rejects.toMatchObject({ code: 'connection-lost' });
    await expect(chat.picture('q')).resolves.toBe(RECORDED.chat.image);
  });
});

describe('acts on a message', () => {
  const two = () => [
    message('user', 'Hello', { id: 'q' }),
    message('assistant', 'Hi', { id: 'a' }),
  ];

  beforeEach(async () => {
    host.kept = two();
    await chat.open('c1');
  });

  test('another version is shown as the host has it', async () => {
    host.kept = [host.kept[0] as Message, message('assistant', 'Hey', { id: 'b' })];
    await chat.current.show('b');
    expect(host.showVersion).toHaveBeenCalledExactlyOnceWith('c1', 'b');
    expect(chat.current.thread.messages.map(({ id }) => id)).toEqual(['q', 'b']);
  });

  test('a failed act is told and leaves all as it was', async () => {
    host.deleteMessage.mockRejectedValueOnce(lost);
    expect(await chat.current.remove('a')).toBe(false);
    expect(chat.current.problem?.code).toBe('connection-lost');
    expect(chat.current.thread.messages).toHaveLength(2);
  });

  test('what a failed version hid is shown again', async () => {
    await chat.current.ask({ kind: 'again', message: 'a' });
    expect(chat.current.thread.messages.map(({ id }) => id)).toEqual(['q']);
    host.tell({ kind: 'failed', problem: lost, message: null });
    await vi.waitFor(() => expect(chat.current.thread.messages).toHaveLength(2));
    expect(chat.current.thread.failure?.problem).toBe(lost);
  });
});

describe('two windows', () => {
  test('what another window asks is seen here, with its Stop', async () => {
    await chat.watch();
    host.kept = [message('user', 'Hello')];
    await chat.open('c1');
    host.kept = [...host.kept, message('assistant', 'Good', { id: 'a9' })];
    host.answering = 'a9';
    host.news({ conversation: 'c1' });
    await vi.waitFor(() => expect(chat.current.answering).toBe(true));
    expect(chat.current.thread.messages.at(-1)?.text).toBe('Good');
    await chat.current.stop();
    expect(host.stopAnswer).toHaveBeenCalledExactlyOnceWith('a9');
    host.answering = null;
    host.news({ conversation: null });
    await vi.waitFor(() => expect(chat.current.answering).toBe(false));
    expect(chat.current.stopping).toBe(false);
  });
});

describe('a draft', () => {
  test('comes back with its pictures, and belongs to its conversation once it has one', async () => {
    host.drafts.set(null, {
      text: 'Half a qu',
      images: [{ id: RECORDED.chat.image.id, name: 'boat.png' }],
    });
    await chat.watch();
    const { draft } = chat.current;
    await draft.load();
    expect(draft.text).toBe('Half a qu');
    expect(draft.attachments).toMatchObject([{ name: 'boat.png', view: RECORDED.chat.image }]);
    await say('Half a question');
    expect(host.drafts.get(null), 'what was sent is no draft').toEqual({ text: '', images: [] });
    draft.text = 'Next';
    draft.save();
    expect(host.drafts.get('c1')?.text).toBe('Next');
  });

  test('is kept a moment after the last key', async () => {
    vi.useFakeTimers();
    chat.current.draft.text = 'One';
    chat.current.draft.text = 'One more';
    expect(host.drafts.size).toBe(0);
    await vi.advanceTimersByTimeAsync(500);
    vi.useRealTimers();
    expect(host.drafts.get(null)?.text).toBe('One more');
  });

  test('of a question that was refused is still kept', async () => {
    chat.current.draft.text = 'Hello';
    chat.current.draft.save();
    host.refuses = problem('nothing-served', 'The message was not sent.');
    await chat.current.send();
    expect(host.drafts.get(null)?.text).toBe('Hello');
  });

  test('does not overwrite what one writes meanwhile', async () => {
    host.drafts.set(null, { text: 'Old', images: [] });
    const reads = chat.current.draft.load();
    chat.current.draft.text = 'New';
    await reads;
    expect(chat.current.draft.text).toBe('New');
  });
});
