// One conversation as the window holds it: what was said, what is coming, and what is being written.

import type {
  Budget,
  ChatAsk,
  ChatEvent,
  Controls,
  ConversationPage,
  ConversationSummary,
  Problem,
} from '../bindings';
import { asProblem, type Host } from '../host/host';
import { MODELS_OWN } from '../host/own';
import { Draft } from './draft.svelte';
import { paced } from './pace';
import {
  ask,
  emptyThread,
  fold,
  refuse,
  reread,
  trimmed,
  unanswered,
  withEarlier,
  type Thread,
} from './stream';

/** What a conversation needs from around it. */
export interface Surroundings {
  host: Host;
  now: () => number;
  /** Something changed that the list of conversations shows. */
  changed: (conversation: Conversation) => void;
}

/** Where the view stands: a message, and how far its top is from that of the view. */
export interface Place {
  message: string;
  top: number;
}

export class Conversation {
  /** Its id; `null` until the first question is kept. */
  id = $state<string | null>(null);
  thread = $state.raw<Thread>(emptyThread);
  /** Why the last act on it did not happen. */
  problem = $state.raw<Problem | null>(null);
  /** Whether the messages are being read. */
  loading = $state(false);
  /** Whether Stop was asked for and the end has not come yet. */
  stopping = $state(false);
  readonly draft: Draft;
  /** Where the person left the view; `null` at the end. */
  place: Place | null = null;
  /** A message that is to be shown next. */
  sought = $state.raw<string | null>(null);
  /** How the model is asked to answer. */
  controls = $state.raw<Controls>(MODELS_OWN);
  /** What the question that is being written takes of the window; `null` where that is not known. */
  budget = $state.raw<Budget | null>(null);

  readonly #around: Surroundings;
  #loaded = false;
  #controls: Promise<void> | null = null;
  /** Counts the measurements, so that an earlier one that comes later is not shown. */
  #measured = 0;
  #readsEarlier: Promise<void> | null = null;
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
    this.draft = new Draft(around.host, () => this.id);
  }

  readonly answering = $derived(this.thread.live !== null || this.thread.elsewhere !== null);

  /** What can be asked where the last question has no answer, or `null`. */
  readonly unanswered = $derived(unanswered(this.thread));

  /** Whether nothing was said in it. */
  readonly empty = $derived(this.thread.messages.length === 0);

  /** Reads how the model is asked here, once. */
  async loadControls(): Promise<void> {
    this.#controls ??= this.#around.host.chatControls(this.id).then(
      (controls) => void (this.controls = controls),
      (thrown: unknown) => void (this.problem = asProblem(thrown)),
    );
    await this.#controls;
  }

  /** Sets how the model is asked, here and in the next new conversation; the problem where that is refused. */
  async set(controls: Controls): Promise<Problem | null> {
    try {
      await this.#around.host.saveChatControls(this.id, controls);
      this.#controls = Promise.resolve();
      this.controls = controls;
      return null;
    } catch (thrown) {
      return asProblem(thrown);
    }
  }

  /** Finds what the question that is being written takes of the window. */
  async measure(): Promise<void> {
    const turn = ++this.#measured;
    const { text, kept } = this.draft;
    let budget: Budget | null = null;
    try {
      budget = await this.#around.host.chatBudget(this.id, { text, images: kept }, this.controls);
    } catch {
      // Nothing is served, or it does not answer: that is told where one sends.
    }
    if (turn === this.#measured) this.budget = budget;
  }

  /** Reads the last messages and the draft, once. */
  async open(): Promise<void> {
    void this.draft.load();
    void this.loadControls();
    if (!this.#loaded) await this.load();
  }

  /** Reads the last messages. What is coming right now is not disturbed. */
  async load(): Promise<void> {
    const { id } = this;
    if (id === null || this.thread.live !== null) return;
    this.loading = this.empty;
    await this.#change(async () => this.#around.host.conversation(id, null));
    this.loading = false;
  }

  /** Reads the messages before those that are shown. */
  async earlier(): Promise<void> {
    const [first] = this.thread.messages;
    const { id } = this;
    if (id === null || first === undefined || !this.thread.earlier) return;
    this.#readsEarlier ??= this.#around.host
      .conversation(id, first.id)
      .then((page) => {
        this.thread = withEarlier(this.thread, page);
      })
      .catch((thrown: unknown) => {
        this.problem = asProblem(thrown);
      })
      .finally(() => (this.#readsEarlier = null));
    await this.#readsEarlier;
  }

  /** Sends what was written, if it may be sent. */
  async send(): Promise<void> {
    if (this.answering || this.draft.blocked !== null) return;
    const question = { text: this.draft.text.trim(), images: this.draft.images };
    this.draft.clear();
    await this.ask({ kind: 'question', ...question });
  }

  /** Asks for what the last question still lacks. */
  async again(): Promise<void> {
    if (this.unanswered !== null) await this.ask(this.unanswered);
  }

  /** Stops the answer. What came is kept. */
  async stop(): Promise<void> {
    const { live, elsewhere } = this.thread;
    const answer = live?.answer ?? elsewhere;
    if (answer === null) return;
    this.stopping = true;
    // Before the host has named the answer there is nothing to stop; `#hear` does it then.
    if (answer !== '') await this.#stop(answer);
  }

  /** Shows another version of a message, with what follows it. */
  async show(message: string): Promise<void> {
    await this.#act((id) => this.#around.host.showVersion(id, message));
  }

  /** Deletes a message with what follows it. */
  async remove(message: string): Promise<boolean> {
    return await this.#act((id) => this.#around.host.deleteMessage(id, message));
  }

  /** Brings a deleted message back. */
  async restore(message: string): Promise<void> {
    await this.#act((id) => this.#around.host.restoreMessage(id, message));
  }

  async #act(act: (id: string) => Promise<ConversationPage>): Promise<boolean> {
    const { id } = this;
    if (id === null || this.answering) return false;
    return await this.#change(() => act(id));
  }

  async #change(read: () => Promise<ConversationPage>): Promise<boolean> {
    try {
      const page = await read();
      this.thread = reread(this.thread, page);
      if (this.thread.elsewhere === null && this.thread.live === null) this.stopping = false;
      this.problem = null;
      this.#loaded = true;
      return true;
    } catch (thrown) {
      this.problem = asProblem(thrown);
      return false;
    }
  }

  /** Asks the model. Nothing is asked while an answer comes. */
  async ask(asked: ChatAsk, controls = this.controls): Promise<void> {
    if (this.answering) return;
    const { host, now, changed } = this.#around;
    const turn = ++this.#asked;
    this.stopping = false;
    this.place = null;
    this.#loaded = true;
    this.thread = ask(trimmed(this.thread), { ask: asked, controls }, now());
    try {
      const id = await host.sendMessage(this.id, asked, controls, (event) => {
        if (turn === this.#asked) this.#hear(event);
      });
      if (this.id === null) {
        // What is kept of the draft belongs to no conversation yet.
        await this.draft.moved(() => (this.id = id));
      } else this.draft.save();
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
    if (event.kind === 'began' && this.stopping) void this.#stop(event.answer.id);
    if (event.kind === 'ended' || event.kind === 'failed') {
      this.stopping = false;
      this.#around.changed(this);
      // Versions that the failed one was to replace are shown again.
      if (event.kind === 'failed' && event.message === null) void this.load();
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
