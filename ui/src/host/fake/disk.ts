// The disks of the fake host: the same model on both machines, with small differences, and a shard that is
// damaged on the second one until it is repaired.

import type {
  CheckEvent,
  CheckReceipt,
  CheckTarget,
  CheckTime,
  DeleteTarget,
  DiskEntry,
  DiskItem,
  FoundCheck,
  Freed,
  MachineDisk,
  MachineView,
} from '../../bindings';
import { wait } from './player';
import { badInput, problem, unreachable } from './problems';

const HOME = '/home/nvidia/.cache/huggingface';
const REPO = 'stepfun-ai/Step-3.7-Flash-NVFP4';
const NEW = '4275532ffd9a9496ff36b7a2dc4a9db1048da438';
const OLD = '9c1d04aa7713e2e2f4a0b19d3c5a7be2f10d6642';
const SHARD = 'model-00007-of-00013.safetensors';
const HUB = `${HOME}/hub/models--${REPO.replace('/', '--')}`;

function item(
  more: Partial<DiskItem> & Pick<DiskItem, 'kind' | 'path' | 'name' | 'size'>,
): DiskItem {
  return {
    commit: null,
    refs: [],
    files: 1,
    frees: more.size,
    used_at: Date.now() - 52 * 60_000,
    missing: 0,
    foreign: null,
    busy: null,
    ...more,
  };
}

const entry = (of: DiskItem, breaks: string[], more: Partial<DiskEntry> = {}): DiskEntry => ({
  item: of,
  uses: [],
  refused: null,
  breaks,
  ...more,
});

/** What is on the disk of a machine at first. */
function entries(index: number, serving: boolean): DiskEntry[] {
  const running = serving
    ? {
        uses: [
          { by: 'the server that runs now', holds: true },
          { by: 'the run “Serve Step-3.7-Flash on spark-5c2d and spark-bd26”', holds: false },
        ],
        refused: problem('locked', `\`${REPO}\` at 4275532f was not deleted.`, {
          cause: 'It is in use by the server that runs now.',
          fix: {
            sentence: 'Stop the server first; the Chat and Settings screens do that.',
            command: null,
          },
        }),
      }
    : {};
  const all = [
    entry(
      item({
        kind: 'revision',
        path: `${HUB}/snapshots/${NEW}`,
        name: REPO,
        commit: NEW,
        refs: ['main'],
        files: 22,
        size: 129_400_000_000,
        frees: 13_100_000_000,
      }),
      [
        'Whatever loads this model from the Hugging Face cache fetches 129 GB again, or fails without the network.',
        '116 GB stay, because revision 9c1d04aa shares them.',
      ],
      running,
    ),
    entry(
      item({
        kind: 'revision',
        path: `${HUB}/snapshots/${OLD}`,
        name: REPO,
        commit: OLD,
        files: 21,
        size: 124_500_000_000,
        frees: 8_200_000_000,
        used_at: Date.now() - 86_400_000 * 41,
      }),
      [
        'Whatever loads this model from the Hugging Face cache fetches 124 GB again, or fails without the network.',
        '116 GB stay, because revision 4275532f shares them.',
      ],
    ),
    entry(
      item({
        kind: 'image',
        path: 'sha256:7be1',
        name: 'vllm/vllm-openai:stepfun37',
        files: 0,
        size: 21_800_000_000,
        used_at: null,
      }),
      ['The next start of a container from it pulls 21.8 GB again.'],
      serving
        ? {
            uses: [{ by: 'the server that runs now', holds: true }],
            refused: problem('locked', '`vllm/vllm-openai:stepfun37` was not deleted.', {
              cause: 'It is in use by the server that runs now.',
            }),
          }
        : {},
    ),
    entry(
      item({
        kind: 'compile-cache',
        path: '/home/nvidia/.cache/vllm',
        name: 'vLLM: torch.compile, graphs, autotuning',
        files: 812,
        size: 1_930_000_000,
      }),
      ['The next start of a server compiles again, which takes minutes.'],
    ),
  ];
  const second = [
    entry(
      item({
        kind: 'unfinished',
        path: `${HOME}/hub/models--stepfun-ai--Step-3.7-Flash/blobs`,
        name: 'stepfun-ai/Step-3.7-Flash',
        files: 4,
        size: 38_600_000_000,
        used_at: Date.now() - 86_400_000 * 12,
      }),
      ['The download begins again from nothing instead of going on.'],
    ),
    entry(
      item({
        kind: 'leftover',
        path: `${HOME}/hub/models--openai--gpt-oss-120b/blobs`,
        name: 'openai/gpt-oss-120b',
        files: 3,
        size: 4_200_000_000,
        used_at: Date.now() - 86_400_000 * 90,
        foreign: 'root',
      }),
      ['Nothing; no revision uses these files.'],
      {
        refused: problem('machine-unfit', '`openai/gpt-oss-120b` was not deleted.', {
          cause: 'It belongs to `root`, as files do that a container wrote.',
          fix: {
            sentence: 'Make it your own, then delete it.',
            command: `sudo chown -R "$USER": '${HOME}/hub/models--openai--gpt-oss-120b/blobs'`,
          },
        }),
      },
    ),
  ];
  return index === 0 ? all : [...all, ...second];
}

/** The disks of a story, which change as they are worked on. */
export class FakeDisks {
  readonly #entries = new Map<string, DiskEntry[]>();
  readonly #stopped = new Set<string>();
  #repaired = false;
  #found: FoundCheck | null = null;

  constructor(
    readonly tickMs: number,
    readonly frozen: boolean,
  ) {}

  #of(machine: MachineView, index: number, serving: boolean, fresh: boolean): DiskEntry[] {
    const kept = this.#entries.get(machine.id) ?? (fresh ? [] : entries(index, serving));
    this.#entries.set(machine.id, kept);
    return kept;
  }

  disks(machines: MachineView[], serving: boolean, fresh: boolean): MachineDisk[] {
    return machines.map((machine, index) => {
      const known = { machine: machine.id, name: machine.name };
      if (machine.reachable === false)
        return { ...known, disk: null, problem: unreachable(machine.address) };
      const of = this.#of(machine, index, serving, fresh);
      const shared = of.some((e) => e.item.commit === OLD) ? 116_300_000_000 : 0;
      return {
        ...known,
        problem: null,
        disk: {
          home: HOME,
          free: machine.facts?.disk_free ?? 0,
          total: machine.facts?.disk_total ?? 0,
          cached: 38_000_000_000,
          taken: of.reduce((sum, e) => sum + e.item.frees, shared),
          entries: of,
        },
      };
    });
  }

  time(): CheckTime {
    return {
      files: 22,
      bytes: 129_400_000_000,
      seconds: 27.2,
      hash_rate: 1_950_000_000,
      disk_rate: 4_760_000_000,
      cores: 14,
    };
  }

  /** A deep check that was begun before the window was opened. */
  leave(machine: string): void {
    this.#found = {
      target: { machine, repo: REPO, commit: NEW },
      deep: true,
      repair: false,
    };
  }

  found(): FoundCheck[] {
    return this.#found ? [this.#found] : [];
  }

  /** Listens to it from where it is; its end is told once. */
  async follow(listen: (event: CheckEvent) => void): Promise<CheckReceipt> {
    const found = this.#found;
    if (!found) throw problem('job-lost', 'There is no check on this machine any more.');
    try {
      return await this.check(found.target, true, found.deep, found.repair, listen, 8);
    } finally {
      this.#found = null;
    }
  }

  async check(
    target: CheckTarget,
    second: boolean,
    deep: boolean,
    repair: boolean,
    listen: (event: CheckEvent) => void,
    from = 0,
  ): Promise<CheckReceipt> {
    this.#stopped.delete(target.machine);
    const total = repair ? 9_970_000_000 : 129_400_000_000;
    for (let step = from; step <= 20 && (deep || repair); step += 1) {
      listen({
        kind: 'progress',
        done: (total * step) / 20,
        total,
        rate: repair ? 112_000_000 : 4_720_000_000,
        doing: repair ? 'Fetching' : 'Hashing 14 files at once',
      });
      await wait(this.tickMs * 3);
      // A picture of a check under way: it stands still until it is stopped.
      while (this.frozen && step === 8 && !this.#stopped.has(target.machine)) await wait(20);
      if (this.#stopped.has(target.machine))
        throw problem('timed-out', 'The check was stopped.', { severity: 'notice' });
    }
    const damaged = second && deep && !this.#repaired && !repair;
    if (repair) this.#repaired = true;
    return {
      commit: target.commit,
      files: 22,
      bytes: damaged ? 119_430_000_000 : 129_400_000_000,
      deep,
      faults: damaged
        ? [
            {
              name: SHARD,
              kind: 'content',
              fault: 'Its content is not what the Hub has: the hash is another.',
              cure: null,
            },
          ]
        : [],
      unchecked: [],
      repaired: repair ? [SHARD] : [],
      fetched: repair ? 9_970_000_000 : 0,
      seconds: deep ? 27.4 : 0.3,
    };
  }

  stop(machine: string): void {
    this.#stopped.add(machine);
  }

  remove(target: DeleteTarget): Freed {
    const of = this.#entries.get(target.machine) ?? [];
    const found = of.find(
      (e) => e.item.kind === target.item.kind && e.item.path === target.item.path,
    );
    if (!found) throw badInput('Nothing was deleted.', 'It is not there any more.');
    if (found.refused) throw found.refused;
    this.#entries.set(
      target.machine,
      of.filter((e) => e !== found),
    );
    return { bytes: found.item.frees, left: [] };
  }
}
