// What is being written: text and pictures that are not sent yet. Kept half a second after each change.

import { LIMITS, type DraftImage, type ImageView, type Problem } from '../bindings';
import { asProblem, type Host } from '../host/host';

/** Pictures that one question may carry. */
export const MOST_PICTURES = 4;

/** How long after a change it is kept. */
const KEEP_AFTER_MS = 500;

/** A picture on its way into the question. */
export interface Attachment {
  key: number;
  name: string;
  /** What the host keeps; `null` while it looks at the file. */
  view: ImageView | null;
  problem: Problem | null;
}

let nextKey = 1;

/** A question that is being written. */
export class Draft {
  attachments = $state.raw<Attachment[]>([]);
  /** What was not taken in, and why. */
  notice = $state<string | null>(null);
  /** Pictures that came with a text, which took their place. */
  offered = $state.raw<File[]>([]);
  /** Why it could not be kept. */
  problem = $state.raw<Problem | null>(null);

  readonly #host: Host;
  readonly #conversation: () => string | null;
  #text = $state('');
  #timer: ReturnType<typeof setTimeout> | undefined;
  #touched = false;
  #loading: Promise<void> | null = null;

  /** `conversation` gives the id that it is kept under; `null` stands for a new conversation. */
  constructor(host: Host, conversation: () => string | null) {
    this.#host = host;
    this.#conversation = conversation;
  }

  get text(): string {
    return this.#text;
  }

  set text(text: string) {
    if (text === this.#text) return;
    this.#text = text;
    this.#changed();
  }

  /** Why it cannot be sent yet, or `null`. */
  readonly blocked = $derived.by(() => {
    if (this.attachments.some((picture) => picture.view === null && picture.problem === null))
      return 'The picture is still being read.';
    if (this.attachments.some((picture) => picture.problem !== null))
      return 'Remove the picture that could not be used.';
    if (this.text.trim() === '' && this.attachments.length === 0) return 'Write something first.';
    return null;
  });

  /** The pictures that are ready, as they are kept. */
  get kept(): DraftImage[] {
    return this.attachments.flatMap(({ name, view }) => (view ? [{ id: view.id, name }] : []));
  }

  /** The ids of the pictures that are ready. */
  get images(): string[] {
    return this.kept.map((picture) => picture.id);
  }

  /** Brings back what was kept, unless something was written meanwhile. */
  async load(): Promise<void> {
    this.#loading ??= this.#load();
    await this.#loading;
  }

  async #load(): Promise<void> {
    try {
      const kept = await this.#host.chatDraft(this.#conversation());
      const pictures = await Promise.all(
        kept.images.map(async ({ id, name }) => ({
          key: nextKey++,
          name,
          view: await this.#host.image(id),
          problem: null,
        })),
      );
      if (this.#touched) return;
      this.#text = kept.text;
      this.attachments = pictures;
    } catch (thrown) {
      this.problem = asProblem(thrown);
    }
  }

  /** Keeps it now. */
  save(): void {
    clearTimeout(this.#timer);
    void this.#save(this.#conversation());
  }

  /** Its conversation gets a name: what was kept without one is forgotten. */
  async moved(named: () => void): Promise<void> {
    clearTimeout(this.#timer);
    const forgotten = this.#host.saveChatDraft(null, { text: '', images: [] });
    named();
    await Promise.all([forgotten.catch(() => {}), this.#save(this.#conversation())]);
  }

  async #save(conversation: string | null): Promise<void> {
    try {
      await this.#host.saveChatDraft(conversation, { text: this.#text, images: this.kept });
      this.problem = null;
    } catch (thrown) {
      this.problem = asProblem(thrown);
    }
  }

  #changed(): void {
    this.#touched = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#save(this.#conversation()), KEEP_AFTER_MS);
  }

  /** Takes files in, and says which it does not take. */
  async attach(files: Iterable<File>): Promise<void> {
    const all = [...files];
    const pictures = all.filter((file) => file.type === '' || file.type.startsWith('image/'));
    const others = all.filter((file) => !pictures.includes(file));
    const room = Math.max(0, MOST_PICTURES - this.attachments.length);
    const left = pictures.slice(room);
    const says = [
      others.length > 0 ? `Not attached: ${names(others)}. The model takes pictures only.` : '',
      left.length > 0
        ? `Not attached: ${names(left)}. A question has ${MOST_PICTURES} pictures at most.`
        : '',
    ];
    this.notice = says.filter((sentence) => sentence !== '').join(' ') || null;
    await Promise.all(pictures.slice(0, room).map((file) => this.#addPicture(file)));
  }

  /** Offers pictures that came along with a text. */
  offer(files: File[]): void {
    this.offered = files;
  }

  /** Takes the offered pictures. */
  async takeOffered(): Promise<void> {
    const files = this.offered;
    this.offered = [];
    await this.attach(files);
  }

  /** Whether another picture has room. */
  readonly full = $derived(this.attachments.length >= MOST_PICTURES);

  remove(key: number): void {
    this.attachments = this.attachments.filter((picture) => picture.key !== key);
    this.#changed();
  }

  /** Puts a picture before or after its neighbour. */
  move(key: number, by: -1 | 1): void {
    const from = this.attachments.findIndex((picture) => picture.key === key);
    const picture = this.attachments[from];
    const other = this.attachments[from + by];
    if (picture === undefined || other === undefined) return;
    this.attachments = this.attachments.with(from, other).with(from + by, picture);
    this.#changed();
  }

  /** Empties it. What is kept of it stays until the question itself is kept. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#touched = true;
    this.#text = '';
    this.attachments = [];
    this.notice = null;
    this.offered = [];
  }

  async #addPicture(file: File): Promise<void> {
    const key = nextKey++;
    const name = file.name || 'picture';
    this.attachments = [...this.attachments, { key, name, view: null, problem: null }];
    try {
      // A larger file is refused before it is read.
      if (file.size > LIMITS.picture_bytes.most) throw tooLarge(file);
      this.#settle(key, { view: await this.#host.addImage(await base64(file)) });
    } catch (thrown) {
      this.#settle(key, { problem: asProblem(thrown) });
    }
  }

  #settle(key: number, over: Partial<Attachment>): void {
    this.attachments = this.attachments.map((picture) =>
      picture.key === key ? { ...picture, ...over } : picture,
    );
    this.#changed();
  }
}

/** The bytes of a file as text, made by the browser itself: millions of numbers would hold up the window. */
function base64(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,?/, ''));
    reader.onerror = () => reject(reader.error ?? new Error('the file cannot be read'));
    reader.readAsDataURL(file);
  });
}

function names(files: File[]): string {
  return files.map((file) => file.name || 'a file').join(', ');
}

function tooLarge(file: File): Problem {
  const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  return {
    code: 'bad-image',
    severity: 'error',
    message: `\`${file.name}\` was not attached.`,
    cause: `It has ${mb(file.size)}; a picture may have ${mb(LIMITS.picture_bytes.most)}.`,
    fix: { sentence: 'Attach a smaller copy of it.', command: null },
    retry: 'no',
    machine: null,
    details: [],
  };
}
