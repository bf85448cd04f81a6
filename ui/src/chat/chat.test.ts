import { beforeEach, describe, expect, test, vi } from 'vitest';

import {
  LIMITS,
  type ChatEvent,
  type ConversationSummary,
  type Message,
  type Problem,
} from '../bindings';
import { RECORDED } from '../host/fake/recorded';
import { problem } from '../test/problem';
import type { Host } from '../host/host';
import { Chat } from './chat.svelte';

const lost: Problem = problem('connection-lost', 'The answer broke off.');

let count = 0;

function message(role: Message['role'], text: string, more: Partial<Message> = {}): Message {
  count += 1;
  const said = { id: `message-${count}`, role, text, reasoning: '', images: [], at: 0 };
  return { ...said, stats: null, stopped: false, ...more };
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
  conversation = async () => this.kept;
  sendMessage = async (...args: unknown[]) => {
    this.sent.push(args.slice(0, 4));
    if (this.refuses) throw this.refuses;
    this.tell = args[4] as (event: ChatEvent) => void;
    this.list = [{ id: 'c1', title: String(args[1]), updated_at: 1 }];
    return 'c1';
  };

  begin(text = 'Hello', answer = 'a1'): void {
    this.tell({ kind: 'began', question: message('user', text), answer });
  }
}

let host: Scripted;
let chat: Chat;

beforeEach(() => {
  host = new Scripted();
  chat = new Chat(host as unknown as Host, () => 1000);
});

async function say(text: string): Promise<void> {
  chat.current.draft.text = text;
  await chat.current.send(true);
}

describe('a question', () => {
  test('opens a conversation, empties the draft and grows into an answer', async () => {
    await say('  Hello ');
    expect(host.sent).toEqual([[null, 'Hello', [], true]]);
    expect(chat.current.draft.text).toBe('');
    host.begin();
    host.tell({ kind: 'words', content: 'Good day', reasoning: '' });
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
    await chat.current.again(false);
    expect(host.sent.at(-1)).toEqual([null, 'Hello', [], false]);
    expect(chat.current.thread.failure).toBeNull();
  });

  test('whose answer breaks off keeps the words and their question', async () => {
    await say('Hello');
    host.begin();
    host.tell({ kind: 'failed', problem: lost, message: message('assistant', 'Good') });
    expect(chat.current.thread.messages.map((said) => said.text)).toEqual(['Hello', 'Good']);
    expect(chat.current.unanswered?.text).toBe('Hello');
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
    host.tell({ kind: 'words', content: 'Still here', reasoning: '' });
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
    expect(host.sent[0]?.[2]).toEqual([RECORDED.chat.image.id]);
  });

  test('alone are a question too; other files are none', async () => {
    await chat.current.draft.attach([file('a.txt', 'text/plain')]);
    expect(chat.current.draft.blocked).toBe('Write something first.');
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
