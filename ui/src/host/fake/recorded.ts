// What the rehearsal answered, as `make recordings` wrote it down; it happened within the last hour.

import type {
  BenchEvent,
  BenchResult,
  ChatEvent,
  CheckEvent,
  CheckReceipt,
  CheckTarget,
  CheckTime,
  Comparison,
  ConversationSummary,
  ExportedLaunch,
  FetchLimits,
  FetchedRecipe,
  ImageView,
  ImportView,
  KeptView,
  LinkView,
  ListedRecipe,
  MachineAhead,
  MachineDisk,
  MachineView,
  Message,
  Neighbour,
  Overview,
  PairView,
  Plan,
  PlanView,
  Problem,
  ProgressPart,
  RunSignal,
  RunSummary,
} from '../../bindings';

/** A run that was watched from its first event to its end. */
export type RecordedRun = {
  summary: RunSummary;
  plan: Plan;
  download: FetchLimits | null;
  signals: RunSignal[];
  /** What its download says while it waits by order. */
  held: Record<'paused' | 'until', ProgressPart[]>;
  logs: Record<string, string[]>;
  report: string;
};

/** Two machines, and what is known of them together. */
export type Standing = { machines: MachineView[]; pair: PairView };

/** A check from its first word to its receipt. */
export type RecordedCheck = { events: CheckEvent[]; receipt: CheckReceipt };

type Recordings = {
  ahead: MachineAhead[];
  benches: {
    list: BenchResult[];
    compared: (Omit<Comparison, 'a' | 'b'> & { a: string; b: string })[];
    progress: BenchEvent[];
    before: string;
    run: string;
  };
  chat: {
    image: ImageView;
    conversations: { summary: ConversationSummary; messages: Message[] }[];
    thinking: ChatEvent[];
    brief: ChatEvent[];
    broken: Problem;
  };
  disks: {
    serving: MachineDisk[];
    disks: MachineDisk[];
    target: CheckTarget;
    time: CheckTime;
  } & Record<'quick' | 'sound' | 'damaged' | 'repaired', RecordedCheck>;
  failed: RecordedRun;
  imports: {
    /** What was read, with the image that was chosen for it. */
    reads: { text: string; image: string | null; view: ImportView }[];
    files: Extract<FetchedRecipe, { kind: 'files' }>;
    id: string;
    listed: ListedRecipe;
    kept: KeptView;
    text: string;
    exported: ExportedLaunch;
  } & Record<'unread' | 'elsewhere' | 'unconfirmed' | 'unnamed', Problem>;
  links: { link: LinkView; kept: LinkView; run: RecordedRun; restarted: RecordedRun };
  machines: {
    empty: { overview: Overview; pair: PairView };
    overview: Overview;
    pair: PairView;
  };
  neighbours: Record<'none' | 'sparks', Neighbour[]>;
  network: Record<string, Standing>;
  plans: Record<'pair' | 'plain' | 'one' | 'other', PlanView> & {
    recipes: ListedRecipe[];
    refused: Pick<PlanView, 'request' | 'problems'>[];
  };
  problems: Record<string, Problem>;
  served: { overview: Overview; pair: PairView; restart: LinkView };
  setup: RecordedRun;
  undone: { signals: RunSignal[] };
};

/** The first moment of every recording, and how moments are named. */
const EPOCH = 1_790_000_000_000;
const MOMENTS = ['at', 'added_at', 'started_at', 'finished_at', 'updated_at', 'used_at'];
const later = Date.now() - EPOCH - 3_600_000;

const files = import.meta.glob<object>('../recorded/*.json', { eager: true, import: 'default' });
const named = Object.entries(files).map(([path, data]) => [/(\w+)\.json$/.exec(path)?.[1], data]);
const moved = (name: string, value: unknown) =>
  MOMENTS.includes(name) && typeof value === 'number' ? value + later : value;

// What is in the files is held to these types by the Rust test that writes them.
export const RECORDED = JSON.parse(JSON.stringify(Object.fromEntries(named)), moved) as Recordings;
