// Conversations of the fake host: kept in memory, with answers that stream as the recorded ones did.

import type {
  ChatAsk,
  ChatDraft,
  ChatEvent,
  Controls,
  ConversationChange,
  ConversationNews,
  ConversationPage,
  ConversationSummary,
  FoundMessage,
  ImportedChats,
  Message,
  Preset,
} from '../../bindings';
import { MODELS_OWN, OFF } from '../own';
import { wait } from './player';
import { RECORDED } from './recorded';

/** As many messages as the app gives at once: of the end of a conversation, and of what stands before it. */
const [LAST, EARLIER] = [12, 40];

interface Kept {
  summary: ConversationSummary;
  /** All versions, in order of arrival. */
  all: Message[];
  /** The message at the end of what is shown. */
  leaf: string | null;
}

let count = 0;
const next = () => `message-${(count += 1)}`;

export class FakeChat {
  #kept: Kept[] = [];
  #deleted: Kept[] = [];
  #drafts = new Map<string | null, ChatDraft>();
  #removed = new Map<string, { kept: Kept; all: Message[]; leaf: string | null }>();
  #controls = new Map<string | null, Controls>();
  presets: Preset[] = [];
  #stopped = new Set<string>();
  #tell: ((news: ConversationNews) => void)[] = [];

  /** Has said what was recorded. */
  fill(): void {
    this.#kept = structuredClone(RECORDED.chat.conversations).map(({ summary, messages }) => ({
      summary,
      all: messages,
      leaf: messages.at(-1)?.id ?? null,
    }));
  }

  watch(tell: (news: ConversationNews) => void): void {
    this.#tell.push(tell);
  }

  list(): ConversationSummary[] {
    const sorted = this.#kept.map((kept) => kept.summary);
    return structuredClone(
      sorted.sort((a, b) => Number(b.pinned) - Number(a.pinned) || b.updated_at - a.updated_at),
    );
  }

  page(id: string, before: string | null = null): ConversationPage {
    const kept = this.#kept.find((known) => known.summary.id === id);
    const path = kept ? pathTo(kept, kept.leaf) : [];
    const end = before === null ? path.length : path.findIndex(({ id }) => id === before);
    const from = Math.max(0, end - (before === null ? LAST : EARLIER));
    const messages = path.slice(from, end).map((message) => ({
      ...message,
      versions: kept ? versionsOf(kept, message) : [],
    }));
    return structuredClone({ messages, earlier: from > 0, answering: null });
  }

  show(id: string, message: string): ConversationPage {
    const kept = this.#of(id);
    const after = (parent: string): string =>
      kept.all.filter((other) => other.parent === parent).reduce((_, m) => after(m.id), parent);
    kept.leaf = after(message);
    return this.#changed(id);
  }

  removeMessage(id: string, message: string): ConversationPage {
    const kept = this.#of(id);
    this.#removed.set(message, { kept, all: kept.all, leaf: kept.leaf });
    const named = kept.all.find((other) => other.id === message);
    kept.all = kept.all.filter((m) => !pathTo(kept, m.id).some((above) => above.id === message));
    const other = kept.all.findLast((m) => m.parent === named?.parent && m.role === named.role);
    kept.leaf = named?.parent ?? null;
    return other ? this.show(id, other.id) : this.#changed(id);
  }

  restoreMessage(id: string, message: string): ConversationPage {
    const before = this.#removed.get(message);
    if (before) Object.assign(before.kept, { all: before.all, leaf: before.leaf });
    return this.#changed(id);
  }

  change(id: string, change: ConversationChange): void {
    const set = Object.entries(change).filter(([, value]) => value !== null);
    Object.assign(this.#of(id).summary, Object.fromEntries(set));
  }

  remove(id: string): void {
    this.#deleted.push(...this.#kept.filter((kept) => kept.summary.id === id));
    this.#kept = this.#kept.filter((kept) => kept.summary.id !== id);
  }

  restore(id: string): void {
    this.#kept.push(...this.#deleted.filter((kept) => kept.summary.id === id));
    this.#deleted = this.#deleted.filter((kept) => kept.summary.id !== id);
  }

  search(typed: string): FoundMessage[] {
    const words = typed.trim().toLowerCase();
    return this.#kept.flatMap(({ summary, all }) =>
      all.flatMap(({ id, role, at, text }) => {
        const from = text.toLowerCase().indexOf(words);
        if (from < 0 || words === '') return [];
        const to = from + words.length;
        const start = Math.max(0, from - 30);
        const excerpt = [text.slice(start, from), text.slice(from, to), text.slice(to, to + 30)];
        const { id: conversation, title } = summary;
        return [{ conversation, title, message: id, role, at, excerpt }];
      }),
    );
  }

  draft(id: string | null): ChatDraft {
    return this.#drafts.get(id) ?? { text: '', images: [] };
  }

  saveDraft(id: string | null, draft: ChatDraft): void {
    this.#drafts.set(id, draft);
  }

  controls(id: string | null): Controls {
    return structuredClone(this.#controls.get(id) ?? MODELS_OWN);
  }

  saveControls(id: string | null, controls: Controls): void {
    this.#controls.set(id, controls);
  }

  savePreset(preset: Preset): Preset[] {
    const others = this.presets.filter(({ name }) => name !== preset.name);
    this.presets = [...others, preset].sort((a, b) => a.name.localeCompare(b.name));
    return this.presets;
  }

  /** About as the app counts: four letters a token. */
  tokens(id: string | null, typed: string): number {
    const kept = this.#kept.find((known) => known.summary.id === id);
    const said = kept ? pathTo(kept, kept.leaf).map((message) => message.text) : [];
    return Math.ceil([...said, typed].join('').length / 4) + 12;
  }

  title(id: string): string {
    return this.#of(id).summary.title;
  }

  /** Takes messages of the OpenAI API, the simplest of the kinds that the app reads. */
  take(text: string): ImportedChats {
    type Said = { role: Message['role']; content: string };
    const { messages } = JSON.parse(text) as { messages: Said[] };
    const title = messages[0]?.content ?? '';
    const kept = this.#begin({ kind: 'question', text: title, images: [] });
    for (const { role, content } of messages) {
      const said = { reasoning: '', images: [], calls: [], stats: null, stopped: false };
      const message = { ...said, id: next(), role, text: content, at: Date.now(), versions: [] };
      kept.all.push({ ...message, parent: kept.leaf });
      kept.leaf = message.id;
    }
    const { id } = kept.summary;
    return { conversations: 1, messages: messages.length, left_out: 0, last: id };
  }

  stop(answer: string): void {
    this.#stopped.add(answer);
  }

  /** Asks as the app does. The text `fail` makes the answer break off half-way, `think` spend all on thinking. */
  ask(
    id: string | null,
    ask: ChatAsk,
    controls: Controls,
    tell: (event: ChatEvent) => void,
  ): string {
    const kept = this.#kept.find((known) => known.summary.id === id) ?? this.#begin(ask);
    kept.summary.updated_at = Date.now();
    const question = questionOf(kept, ask);
    if (!kept.all.includes(question)) kept.all.push(question);
    const begun = ask.kind === 'continued' ? kept.all.find((m) => m.id === ask.message) : undefined;
    if (begun === undefined) kept.leaf = question.id;
    if (id === null) this.saveControls(kept.summary.id, controls);
    void this.#answer(kept, question, begun, controls, tell);
    return kept.summary.id;
  }

  async #answer(
    kept: Kept,
    question: Message,
    begun: Message | undefined,
    controls: Controls,
    tell: (event: ChatEvent) => void,
  ): Promise<void> {
    const events = controls.level === OFF ? RECORDED.chat.brief : RECORDED.chat.thinking;
    const words = events.filter((e) => e.kind === 'words');
    const [ended] = events.filter((e) => e.kind === 'ended');
    if (!ended) throw new Error('a whole answer was recorded');
    const whole = { ...ended.message, id: begun?.id ?? next(), at: Date.now() };
    const reply: Message = {
      ...whole,
      text: begun?.text ?? '',
      reasoning: begun?.reasoning ?? '',
      stats: null,
      parent: question.id,
    };
    tell({
      kind: 'began',
      question: { ...question, versions: versionsOf(kept, question) },
      answer: { ...reply },
    });
    const fails = question.text === 'fail' && begun === undefined;
    const thinks =
      question.text === 'think' && controls.level !== OFF && controls.max_tokens === null;
    for (const event of fails ? words.slice(0, words.length / 2) : words) {
      if (this.#stopped.has(reply.id)) break;
      await wait(30);
      const said = { ...event, content: thinks ? '' : event.content };
      reply.text += said.content;
      reply.reasoning += said.reasoning;
      tell(said);
    }
    reply.stopped = this.#stopped.delete(reply.id);
    const finish = reply.stopped ? 'stopped' : thinks ? 'length' : 'stop';
    if (!fails && whole.stats) reply.stats = { ...whole.stats, finish };
    kept.all = [...kept.all.filter((other) => other.id !== reply.id), reply];
    kept.leaf = reply.id;
    const message = { ...reply, versions: versionsOf(kept, reply) };
    if (fails) tell({ kind: 'failed', problem: RECORDED.chat.broken, message });
    else tell({ kind: 'ended', message });
  }

  #begin(ask: ChatAsk): Kept {
    const title = ask.kind === 'question' ? ask.text.slice(0, 60) : '';
    const id = `conversation-${this.#kept.length + this.#deleted.length + 1}`;
    const summary = { id, title, updated_at: 0, pinned: false, archived: false };
    const kept: Kept = { summary, all: [], leaf: null };
    this.#kept.push(kept);
    return kept;
  }

  #of(id: string): Kept {
    const kept = this.#kept.find((known) => known.summary.id === id);
    if (!kept) throw new Error(`there is no conversation ${id}`);
    return kept;
  }

  #changed(id: string): ConversationPage {
    for (const tell of this.#tell) tell({ conversation: id });
    return this.page(id);
  }
}

function questionOf(kept: Kept, ask: ChatAsk): Message {
  const named = 'message' in ask ? kept.all.find((m) => m.id === ask.message) : undefined;
  if (ask.kind === 'again' || ask.kind === 'continued') {
    const question = named?.role === 'user' ? named : kept.all.find((m) => m.id === named?.parent);
    if (!question) throw new Error('there is no such question');
    return question;
  }
  const parent = named ? named.parent : kept.leaf;
  const said = { reasoning: '', calls: [], stats: null, stopped: false, versions: [] };
  const { text, images } = ask;
  return { ...said, id: next(), role: 'user', text, images, at: Date.now(), parent };
}

function versionsOf(kept: Kept, message: Message): string[] {
  return kept.all.filter((other) => other.parent === message.parent).map(({ id }) => id);
}

function pathTo(kept: Kept, leaf: string | null): Message[] {
  const message = kept.all.find(({ id }) => id === leaf);
  return message ? [...pathTo(kept, message.parent), message] : [];
}
