// The plan that the fake host proposes, in the shape and tone of the real one.

import type {
  MachineView,
  Plan,
  PlanView,
  Problem,
  Setting,
  SetupRequest,
  StepPlan,
} from '../../bindings';
import recorded from '../recorded/settings.json';
import { badInput } from './problems';

/** Sensible choices for the machines that are there. */
export function defaults(machines: MachineView[]): SetupRequest {
  const two = machines.length > 1;
  const end = (name: string, address: string, rdma: string) => ({ interface: name, address, rdma });
  return {
    machines: machines.map((m) => m.id),
    network: two
      ? {
          mtu: 9000,
          rails: [
            {
              prefix: 24,
              ends: [
                end('enp1s0f1np1', '192.168.100.10', 'rocep1s0f1'),
                end('enp1s0f1np1', '192.168.100.11', 'rocep1s0f1'),
              ],
            },
            {
              prefix: 24,
              ends: [
                end('enP2p1s0f1np1', '192.168.101.10', 'roceP2p1s0f1'),
                end('enP2p1s0f1np1', '192.168.101.11', 'roceP2p1s0f1'),
              ],
            },
          ],
        }
      : null,
    hub_endpoint: 'https://huggingface.co',
    recipe: recorded.recipe,
    variant: recorded.variant,
    choices: {},
    download: { bytes_per_second: null, paused: false, hours: null },
  };
}

/** What these choices would do, or what stands against them. */
export function planFor(request: SetupRequest, machines: MachineView[]): PlanView {
  const problems = wrongIn(request);
  const names = machines.map((m) => m.name);
  return {
    request,
    problems,
    title: recorded.title,
    variants: recorded.variants,
    settings: (recorded.settings as Setting[]).map((s) => ({
      ...s,
      value: request.choices?.[s.id] ?? s.proposed,
    })),
    plan: {
      procedure: 'setup',
      procedure_version: 1,
      summary: `Serve Step-3.7-Flash on ${names.join(' and ')}${drafts(request) ? ', with multi-token prediction (MTP)' : ''}.`,
      cautions: [
        'About 134 GB will be downloaded to each machine.',
        'While the model is served, it takes most of the memory of both machines.',
      ],
      steps: problems.length > 0 ? [] : steps(request, names),
    } satisfies Plan,
  };
}

function value(request: SetupRequest, id: string): string {
  return String(request.choices?.[id] ?? recorded.settings.find((s) => s.id === id)?.proposed);
}

function wrongIn(request: SetupRequest): Problem[] {
  const problems: Problem[] = [];
  if (value(request, 'api_port') === value(request, 'master_port'))
    problems.push(badInput('The ports cannot be used.', 'Both are the same.'));
  if (!/^[^/\s]+\/[^/\s]+$/.test(String(value(request, 'repo'))))
    problems.push(badInput('The setting “Repository” cannot be used.', 'It is not `owner/name`.'));
  return problems;
}

function drafts(request: SetupRequest): boolean {
  return request.variant !== 'plain';
}

export function steps(request: SetupRequest, names: string[]): StepPlan[] {
  const both = names.length > 1 ? 'both machines' : (names[0] ?? 'the machine');
  const all: (StepPlan | null)[] = [
    step(
      'connect',
      'Sign in',
      `Sign in to ${both} and install a key of Tandem’s own, so that the password is not needed again.`,
      {
        exactly: ['~/.ssh/authorized_keys  (one line added, ending in “tandem”)'],
        undo: 'Removes that line again.',
      },
    ),
    step(
      'facts',
      'Look at the machines',
      `Read what ${both} are and have: memory, disk, driver, links. Changes nothing.`,
      {
        undo: 'Nothing to take back.',
      },
    ),
    request.network
      ? step(
          'network',
          'Private network',
          'Give the two rails (the two paths through the cable) a subnet each, with frames of 9000 bytes, and test them.',
          {
            exactly: [
              '# /etc/netplan/90-tandem.yaml\nnetwork:\n  version: 2\n  ethernets:\n    enp1s0f1np1:\n      dhcp4: false\n      link-local: []\n      mtu: 9000\n      addresses: [192.168.100.10/24]\n    enP2p1s0f1np1:\n      dhcp4: false\n      link-local: []\n      mtu: 9000\n      addresses: [192.168.101.10/24]',
              'sudo netplan apply',
            ],
            undo: 'Removes the file and applies what was there before.',
            privileged: true,
          },
        )
      : null,
    step(
      'image',
      'Container image',
      request.network
        ? `Pull ${value(request, 'image')} once on the head, copy it over the private link, and check that it is the same one on ${both}.`
        : `Pull ${value(request, 'image')} on ${both} and check that it is the same one.`,
      {
        exactly: request.network
          ? [
              `docker pull ${value(request, 'image')}`,
              `docker save ${value(request, 'image')}`,
              'tandem-node copy serve --listen 192.168.100.10 --listen 192.168.101.10 --spool IMAGE',
              'docker load',
            ]
          : [`docker pull ${value(request, 'image')}`],
        undo: 'Removes the image where it was not there before.',
      },
    ),
    request.network
      ? step(
          'collective',
          'All-reduce',
          'Start a short-lived container of the image on each machine and let its PyTorch add up numbers over the private link, as the model will.',
          {
            exactly: ['docker run --name tandem-all-reduce … python3 -c PROGRAM'],
            undo: 'Removes the containers, should any be left.',
          },
        )
      : null,
    step(
      'weights',
      'Model weights',
      `Download ${value(request, 'repo')} to ${both}, each file checked by its hash.`,
      {
        exactly: [`~/.cache/huggingface/hub/models--${value(request, 'repo').replace('/', '--')}`],
        undo: 'Removes the files that were downloaded. Files that were there before stay.',
      },
    ),
    drafts(request)
      ? step(
          'graft',
          'MTP layers',
          `Add the layers for multi-token prediction (MTP: several tokens drafted at once) from ${value(request, 'donor_repo')} beside the weights.`,
          {
            exactly: [`~/.local/share/tandem/checkpoints/${value(request, 'served_name')}-mtp`],
            undo: 'Removes that folder. The downloaded weights are never edited.',
          },
        )
      : null,
    step(
      'launch-plain',
      'Start the server, plain',
      `Start vLLM over ${both} without MTP and wait until it answers.`,
      {
        exactly: ['docker run --name tandem-step-3.7-flash …'],
        undo: 'Stops and removes the containers.',
      },
    ),
    step(
      'validate-plain',
      'Try it, plain',
      'Ask it a question, show it an image, and measure its speed.',
      {
        undo: 'Nothing to take back.',
      },
    ),
    drafts(request)
      ? step(
          'launch-mtp',
          'Start the server, with MTP',
          `Start it again with ${value(request, 'speculative_tokens')} drafted tokens.`,
          {
            exactly: ['docker run --name tandem-step-3.7-flash …'],
            undo: 'Stops and removes the containers.',
          },
        )
      : null,
    drafts(request)
      ? step(
          'validate-mtp',
          'Try it, with MTP',
          'Ask again, measure again, and compare with plain.',
          {
            undo: 'Nothing to take back.',
          },
        )
      : null,
  ];
  return all.filter((s) => s !== null);
}

export function step(
  id: string,
  title: string,
  will: string,
  more: { exactly?: string[]; undo: string; privileged?: boolean },
): StepPlan {
  return {
    id,
    title,
    will,
    exactly: more.exactly ?? [],
    undo: more.undo,
    privileged: more.privileged ?? false,
  };
}
