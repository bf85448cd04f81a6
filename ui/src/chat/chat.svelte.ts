// All conversations, and which one is open. Lives as long as the window, so an answer goes on coming while
// another screen is in view.

import { SvelteMap } from 'svelte/reactivity';

import type {
  ConversationChange,
  ConversationSummary,
  ExportFormat,
  FoundMessage,
  ImageView,
  ImportedChats,
  Preset,
  Problem,
} from '../bindings';
import { asProblem, type Host } from '../host/host';
import { effectRoot } from '../kit/effectRoot.svelte';
import { Conversation, type Surroundings } from './conversation.svelte';

/** Pictures held ready for showing; older ones are asked for again. */
const SHELF = 32;

export class Chat {
  list = $state.raw<ConversationSummary[]>([]);
  problem = $state.raw<Problem | null>(null);
  /** Whether the list was read once. */
  ready = $state(false);
  current: Conversation = $state.raw() as Conversation;
  /** Settings of answers that were kept under names. */
  presets = $state.raw<Preset[]>([]);

  readonly #around: Surroundings;
  readonly #known = new SvelteMap<string, Conversation>();
  // Filled while a picture is being drawn, so it must not be reactive.
  // eslint-disable-next-line svelte/prefer-svelte-reactivity
  readonly #pictures = new Map<string, Promise<ImageView>>();

  constructor(host: Host, now: () => number = Date.now) {
    this.#around = {
      host,
      now,
      changed: (conversation) => {
        if (conversation.id !== null) this.#known.set(conversation.id, conversation);
        void this.refresh();
      },
    };
    this.current = new Conversation(this.#around);
  }

  async refresh(): Promise<void> {
    try {
      this.list = await this.#around.host.listConversations();
      this.problem = null;
    } catch (thrown) {
      this.problem = asProblem(thrown);
    } finally {
      this.ready = true;
    }
  }

  /** Reads the presets. */
  async loadPresets(): Promise<void> {
    await this.#presets(() => this.#around.host.chatPresets());
  }

  /** Keeps settings under a name. */
  async savePreset(preset: Preset): Promise<Problem | null> {
    return await this.#presets(() => this.#around.host.saveChatPreset(preset));
  }

  async deletePreset(name: string): Promise<Problem | null> {
    return await this.#presets(() => this.#around.host.deleteChatPreset(name));
  }

  async #presets(ask: () => Promise<Preset[]>): Promise<Problem | null> {
    try {
      this.presets = await ask();
      return null;
    } catch (thrown) {
      return asProblem(thrown);
    }
  }

  /** Opens a conversation of the list. */
  async open(id: string): Promise<void> {
    const conversation = this.#known.get(id) ?? new Conversation(this.#around, id);
    this.#known.set(id, conversation);
    this.current = conversation;
    await conversation.open();
  }

  /** Begins a conversation. One that is still empty is simply kept open. */
  begin(): void {
    if (this.current.id === null && this.current.empty) return;
    this.current = this.#fresh();
  }

  /** Whether an answer is coming in the conversation of this id. */
  answering(id: string): boolean {
    if (this.current.id === id) return this.current.answering;
    return this.#known.get(id)?.answering ?? false;
  }

  /** Hears of changes, of this window and of others, as long as the window lives. */
  async watch(): Promise<void> {
    void this.current.draft.load();
    void this.current.loadControls();
    try {
      await this.#around.host.watchConversations(({ conversation }) => {
        const known = [...this.#known.values()];
        for (const held of known)
          if (conversation === null || held.id === conversation) void held.load();
        if (!known.some((held) => held.id === conversation && held.answering)) void this.refresh();
      });
    } catch (thrown) {
      this.problem = asProblem(thrown);
    }
  }

  /** Renames, pins or archives a conversation. */
  async change(id: string, change: Partial<ConversationChange>): Promise<void> {
    const none = { title: null, pinned: null, archived: null };
    await this.#list(() => this.#around.host.changeConversation(id, { ...none, ...change }));
  }

  /** Deletes a conversation; an answer on its way is stopped first. Whether it was. */
  async remove(id: string): Promise<boolean> {
    const conversation = this.#known.get(id);
    const done = await this.#list(async () => {
      await conversation?.stop();
      await this.#around.host.deleteConversation(id);
    });
    if (!done) return false;
    this.#known.delete(id);
    if (this.current.id === id) this.current = this.#fresh();
    return true;
  }

  /** Brings a deleted conversation back and opens it. */
  async restore(id: string): Promise<void> {
    if (await this.#list(() => this.#around.host.restoreConversation(id))) await this.open(id);
  }

  /** Writes a conversation into a file of the person's choice; gives back where, or `null`. */
  async export(id: string, format: ExportFormat): Promise<string | null> {
    try {
      return await this.#around.host.exportConversation(id, format);
    } catch (thrown) {
      this.problem = asProblem(thrown);
      return null;
    }
  }

  /** Takes the conversations of a file in and opens the last one; `null` where that did not happen. */
  async import(file: File): Promise<ImportedChats | null> {
    let taken: ImportedChats | null = null;
    const done = await this.#list(async () => {
      taken = await this.#around.host.importConversations(await file.text());
    });
    const { last } = (taken as ImportedChats | null) ?? { last: null };
    if (done && last !== null) await this.open(last);
    return taken;
  }

  /** The latest messages that hold what is typed. */
  async search(typed: string): Promise<FoundMessage[]> {
    return await this.#around.host.searchMessages(typed);
  }

  /** Opens the conversation of a found message and shows that message. */
  async show(found: FoundMessage): Promise<void> {
    await this.open(found.conversation);
    const { current } = this;
    const isShown = () => current.thread.messages.some(({ id }) => id === found.message);
    if (!isShown()) await current.show(found.message);
    while (!isShown() && current.thread.earlier && current.problem === null)
      await current.earlier();
    current.sought = found.message;
  }

  async #list(act: () => Promise<unknown>): Promise<boolean> {
    try {
      await act();
    } catch (thrown) {
      this.problem = asProblem(thrown);
      return false;
    }
    await this.refresh();
    return true;
  }

  #fresh(): Conversation {
    const fresh = new Conversation(this.#around);
    void fresh.draft.load();
    void fresh.loadControls();
    return fresh;
  }

  /** A kept picture. A failed look is not remembered. */
  picture(id: string): Promise<ImageView> {
    const held = this.#pictures.get(id) ?? this.#fetch(id);
    // Taken out and put back, so that the oldest in use is the first to go.
    this.#pictures.delete(id);
    this.#pictures.set(id, held);
    if (this.#pictures.size > SHELF) {
      const [oldest] = this.#pictures.keys();
      if (oldest !== undefined) this.#pictures.delete(oldest);
    }
    return held;
  }

  #fetch(id: string): Promise<ImageView> {
    return this.#around.host.image(id).catch((thrown: unknown) => {
      this.#pictures.delete(id);
      throw asProblem(thrown);
    });
  }
}

const chats = new WeakMap<Host, Chat>();

/** The chat of this host; the same one each time. */
export function chatOf(host: Host): Chat {
  const known = chats.get(host);
  if (known) return known;
  const chat = effectRoot(() => new Chat(host));
  chats.set(host, chat);
  void chat.watch();
  return chat;
}
