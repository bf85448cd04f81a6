// The chat as the window draws it, with a host that streams what run.mjs asks for. `?shape=`, `?rate=` (tokens a second),
// `?tokens=`, `?per=` (tokens a chunk) and `?before=` (messages of the conversation that is opened) say what.

import { mount } from 'svelte';

import type { ChatEvent, Message } from '../../src/bindings';
import { Chat } from '../../src/chat/chat.svelte';
import ChatPane from '../../src/chat/ChatPane.svelte';
import { fakeHost } from '../../src/host/fake';
import { followDesktop } from '../../src/theme/theme';
import '../../src/theme/theme.css';

/** What a token looks like: four characters, as English has. */
const SHAPES: Record<string, (token: number) => string> = {
  mixed: (n) => {
    const at = n % 100;
    if (at === 0) return '\n\n## Part\n\n';
    if (at === 40) return '\n\n- an item\n';
    if (at === 55) return '\n\n```rust\nlet ';
    if (at === 75) return '\n```\n\n';
    return at > 55 && at < 75 ? 'x1;\n' : at % 12 === 0 ? '**on** ' : 'word';
  },
  code: (n) => (n === 0 ? '```rust\n' : n % 12 === 0 ? ');\n ' : n % 4 === 0 ? ' let' : ' f(x'),
  list: (n) => (n % 20 === 0 ? '\n- i' : ' wor'),
  paragraph: (n) => (n % 9 === 0 ? ' **b' : n % 9 === 1 ? 'c** ' : 'word'),
  table: (n) =>
    n === 0 ? '| a | b |\n|---|---|\n' : n % 12 === 0 ? ' |\n| ' : n % 6 === 0 ? ' | ' : 'cell',
};

const asked = new URLSearchParams(location.search);
const shape = SHAPES[asked.get('shape') ?? 'mixed'] ?? (() => 'word');
const rate = Number(asked.get('rate') ?? 400);
const total = Number(asked.get('tokens') ?? 8000);
const per = Number(asked.get('per') ?? 1);

function message(role: Message['role'], text: string, id: string): Message {
  const said = {
    id,
    role,
    text,
    reasoning: '',
    images: [],
    calls: [],
    at: 0,
    stats: null,
    stopped: false,
  };
  return { ...said, parent: null, versions: [id] };
}

const host = fakeHost('serving', { tickMs: 0 });
let tell: (event: ChatEvent) => void = () => {};
host.sendMessage = async (_, ask, __, hear) => {
  tell = hear;
  const text = ask.kind === 'question' ? ask.text : '';
  tell({
    kind: 'began',
    question: message('user', text, 'q'),
    answer: message('assistant', '', 'a'),
  });
  return 'c1';
};

const before = Number(asked.get('before') ?? 10);

/** Messages as the app gives them: the last twelve, or the forty before one. */
host.conversation = async (_, first) => {
  const end = first === null ? before : Number(first);
  const from = Math.max(0, end - (first === null ? 12 : 40));
  const messages = Array.from({ length: end - from }, (_, i) => {
    const n = from + i;
    const text = Array.from({ length: 200 }, (_, token) => SHAPES['mixed']?.(token) ?? '').join('');
    return message(n % 2 ? 'assistant' : 'user', text, String(n));
  });
  return { messages, earlier: from > 0, answering: null };
};

followDesktop();
const chat = new Chat(host);
const target = document.getElementById('app');
if (!target) throw new Error('index.html has no element #app');
mount(ChatPane, { target, props: { chat, silent: null } });

/** Streams it all, each chunk as a task of its own, as a channel delivers it. */
async function stream(): Promise<void> {
  chat.current.draft.text = 'Say something long.';
  await chat.current.send();
  const { port1, port2 } = new MessageChannel();
  let sent = 0;
  const began = performance.now();
  await new Promise<void>((done) => {
    port1.onmessage = () => {
      let content = '';
      for (let n = 0; n < per && sent < total; n += 1, sent += 1) content += shape(sent);
      tell({ kind: 'words', content, reasoning: '', calls: [] });
      if (sent >= total) done();
      else next();
    };
    function next(): void {
      const due = began + (sent / rate) * 1000 - performance.now();
      if (due <= 1) port2.postMessage(null);
      else setTimeout(() => port2.postMessage(null), due);
    }
    next();
  });
}

/** Opens the conversation; gives back the milliseconds until its last message is drawn. */
async function open(): Promise<number> {
  const began = performance.now();
  await chat.open('long');
  await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)));
  if (!document.querySelector(`[data-message="${before - 1}"]`)) throw new Error('it is not drawn');
  return performance.now() - began;
}

Object.assign(window, { stream, open });
document.body.dataset.ready = '';
