// All conversations, and which one is open. Lives as long as the window, so an answer goes on coming while
// another screen is in view.

import { SvelteMap } from 'svelte/reactivity';

import type { ConversationSummary, ImageView, Problem } from '../bindings';
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
  /** Whether the model should think before it answers. */
  thinking = $state(true);

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

  /** Opens a conversation of the list. */
  async open(id: string): Promise<void> {
    const conversation = this.#known.get(id) ?? new Conversation(this.#around, id);
    this.#known.set(id, conversation);
    this.current = conversation;
    if (conversation.empty) await conversation.load();
  }

  /** Begins a conversation. One that is still empty is simply kept open. */
  begin(): void {
    if (this.current.id === null && this.current.empty) return;
    this.current = new Conversation(this.#around);
  }

  /** Whether an answer is coming in the conversation of this id. */
  answering(id: string): boolean {
    if (this.current.id === id) return this.current.answering;
    return this.#known.get(id)?.answering ?? false;
  }

  /** Removes a conversation for good; an answer on its way is stopped first. */
  async remove(id: string): Promise<void> {
    const conversation = this.#known.get(id);
    try {
      await conversation?.stop();
      await this.#around.host.deleteConversation(id);
    } catch (thrown) {
      this.problem = asProblem(thrown);
      return;
    }
    this.#known.delete(id);
    if (this.current.id === id) this.current = new Conversation(this.#around);
    await this.refresh();
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
  const known = chats.get(host) ?? effectRoot(() => new Chat(host));
  chats.set(host, known);
  return known;
}
