// What is being written: text and pictures that are not sent yet. Survives a change of screen.

import { LIMITS, type ImageView, type Problem } from '../bindings';
import { asProblem, type Host } from '../host/host';

/** Pictures that one question may carry. */
export const MOST_PICTURES = 4;

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
  text = $state('');
  attachments = $state.raw<Attachment[]>([]);

  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
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

  /** The ids of the pictures that are ready. */
  get images(): string[] {
    return this.attachments.flatMap((picture) => (picture.view ? [picture.view.id] : []));
  }

  /** Takes files in. What is no picture is left out without a word: a paste may bring anything along. */
  async attach(files: Iterable<File>): Promise<void> {
    const pictures = [...files].filter(
      (file) => file.type === '' || file.type.startsWith('image/'),
    );
    const room = MOST_PICTURES - this.attachments.length;
    await Promise.all(pictures.slice(0, Math.max(0, room)).map((file) => this.#addPicture(file)));
  }

  /** Whether another picture has room. */
  readonly full = $derived(this.attachments.length >= MOST_PICTURES);

  remove(key: number): void {
    this.attachments = this.attachments.filter((picture) => picture.key !== key);
  }

  clear(): void {
    this.text = '';
    this.attachments = [];
  }

  async #addPicture(file: File): Promise<void> {
    const key = nextKey++;
    const name = file.name || 'picture';
    this.attachments = [...this.attachments, { key, name, view: null, problem: null }];
    try {
      // A larger file is refused before it is read.
      if (file.size > LIMITS.picture_bytes.most) throw tooLarge(file);
      const bytes = new Uint8Array(await file.arrayBuffer());
      this.#settle(key, { view: await this.#host.addImage(Array.from(bytes)) });
    } catch (thrown) {
      this.#settle(key, { problem: asProblem(thrown) });
    }
  }

  #settle(key: number, over: Partial<Attachment>): void {
    this.attachments = this.attachments.map((picture) =>
      picture.key === key ? { ...picture, ...over } : picture,
    );
  }
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
