// One conversation as the window holds it: what was said, what is coming, and what is being written.

import type { ChatEvent, ConversationSummary, Problem } from '../bindings';
import { asProblem, type Host } from '../host/host';
import { Draft } from './draft.svelte';
import { paced } from './pace';
import { ask, emptyThread, fold, refuse, unanswered, type Question, type Thread } from './stream';

/** What a conversation needs from around it. */
export interface Surroundings {
  host: Host;
  now: () => number;
  /** Something changed that the list of conversations shows. */
  changed: (conversation: Conversation) => void;
}

export class Conversation {
  /** Its id; `null` until the first question is kept. */
  id = $state<string | null>(null);
  thread = $state.raw<Thread>(emptyThread);
  /** Why the messages could not be read. */
  problem = $state.raw<Problem | null>(null);
  /** Whether the messages are being read. */
  loading = $state(false);
  /** Whether Stop was asked for and the end has not come yet. */
  stopping = $state(false);
  readonly draft: Draft;

  readonly #around: Surroundings;
  /** Words that were not drawn yet, with when they came. */
  #words: { event: ChatEvent; at: number }[] = [];
  readonly #pace = paced(() => {
    const words = this.#words;
    this.#words = [];
    this.thread = words.reduce((thread, { event, at }) => fold(thread, event, at), this.thread);
  });
  // Counts the questions, so that words of an answer that was given up do not reach the next one.
  #asked = 0;

  constructor(around: Surroundings, id: string | null = null) {
    this.#around = around;
    this.id = id;
    this.draft = new Draft(around.host);
  }

  readonly answering = $derived(this.thread.live !== null);

  /** The question that can be sent again, or `null`. */
  readonly unanswered = $derived(unanswered(this.thread));

  /** Whether nothing was said in it. */
  readonly empty = $derived(this.thread.messages.length === 0);

  /** Reads the messages. What is coming right now is not disturbed. */
  async load(): Promise<void> {
    if (this.id === null || this.answering) return;
    this.loading = true;
    this.problem = null;
    try {
      const messages = await this.#around.host.conversation(this.id);
      if (!this.answering) this.thread = { ...this.thread, messages };
    } catch (thrown) {
      this.problem = asProblem(thrown);
    } finally {
      this.loading = false;
    }
  }

  /** Sends what was written, if it may be sent. */
  async send(thinking: boolean): Promise<void> {
    if (this.answering || this.draft.blocked !== null) return;
    const question = { text: this.draft.text.trim(), images: this.draft.images, thinking };
    this.draft.clear();
    await this.#ask(question);
  }

  /** Sends the question again that has no answer. */
  async again(thinking: boolean): Promise<void> {
    const question = this.unanswered;
    if (question !== null) await this.#ask({ ...question, thinking });
  }

  /** Stops the answer. What came is kept. */
  async stop(): Promise<void> {
    const { live } = this.thread;
    if (live === null) return;
    this.stopping = true;
    // Before the host has named the answer there is nothing to stop; `#hear` does it then.
    if (live.answer !== '') await this.#stop(live.answer);
  }

  async #ask(question: Question): Promise<void> {
    const { host, now, changed } = this.#around;
    const turn = ++this.#asked;
    this.stopping = false;
    this.thread = ask(this.thread, question, now());
    try {
      const id = await host.sendMessage(
        this.id,
        question.text,
        question.images,
        question.thinking,
        (event) => {
          if (turn === this.#asked) this.#hear(event);
        },
      );
      this.id ??= id;
      changed(this);
    } catch (thrown) {
      if (turn !== this.#asked) return;
      this.thread = refuse(this.thread, asProblem(thrown));
      this.stopping = false;
    }
  }

  #hear(event: ChatEvent): void {
    const at = this.#around.now();
    if (event.kind === 'words') {
      this.#words.push({ event, at });
      this.#pace.request();
      return;
    }
    this.#pace.flush();
    this.thread = fold(this.thread, event, at);
    if (event.kind === 'began' && this.stopping) void this.#stop(event.answer);
    if (event.kind === 'ended' || event.kind === 'failed') {
      this.stopping = false;
      this.#around.changed(this);
    }
  }

  async #stop(answer: string): Promise<void> {
    try {
      await this.#around.host.stopAnswer(answer);
    } catch (thrown) {
      this.problem = asProblem(thrown);
      this.stopping = false;
    }
  }
}

/** The conversation's name in the list and above it. */
export function titleOf(conversation: Conversation, list: ConversationSummary[]): string {
  const kept = list.find((summary) => summary.id === conversation.id)?.title.trim();
  if (kept) return kept;
  const first = conversation.thread.messages.find((message) => message.role === 'user');
  if (first === undefined) return 'New conversation';
  return first.text.trim().slice(0, 60) || 'A picture';
}
