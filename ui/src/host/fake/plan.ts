// The plan that the fake host proposes, in the shape and tone of the real one.

import type { MachineView, Plan, PlanView, Problem, SetupRequest, StepPlan } from '../../bindings';
import { badInput } from './problems';

const REVISION = 'b2ab3ac7c2a4f0f5f7a3a7de2b6e9b7c7e5f1c55';

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
    repo: 'stepfun-ai/Step-3.7-Flash-NVFP4',
    revision: REVISION,
    source_repo: 'stepfun-ai/Step-3.7-Flash',
    source_revision: 'main',
    image: 'vllm/vllm-openai:stepfun37',
    api_port: 8000,
    master_port: 25000,
    served_model_name: 'step-3.7-flash',
    max_model_len: 262_144,
    gpu_memory_utilization: 0.85,
    mtp: true,
    speculative_tokens: 3,
    mtp_way: null,
    engine_args: [
      '--quantization',
      'modelopt',
      '--kv-cache-dtype',
      'fp8',
      '--reasoning-parser',
      'step3p5',
    ],
    engine_env: [],
    ready_timeout_s: 1800,
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
    mtp: {
      way: 'built-in',
      reason:
        'The revision has the layers; one file of vLLM 0.1.dev16944+ge9c8946e7 is changed for them, from outside, and nothing is fetched.',
    },
    plan: {
      recipe: 'pair-setup',
      recipe_version: 1,
      summary: `Serve Step-3.7-Flash on ${names.join(' and ')}${request.mtp ? ', with multi-token prediction (MTP)' : ''}.`,
      cautions: [
        'About 134 GB will be downloaded to each machine.',
        'While the model is served, it takes most of the memory of both machines.',
      ],
      steps: problems.length > 0 ? [] : steps(request, names),
    } satisfies Plan,
  };
}

function wrongIn(request: SetupRequest): Problem[] {
  const problems: Problem[] = [];
  if (request.api_port === request.master_port)
    problems.push(badInput('The two ports are the same.', `Both are ${request.api_port}.`));
  if (request.gpu_memory_utilization <= 0 || request.gpu_memory_utilization > 0.95)
    problems.push(
      badInput('The memory share cannot be used.', 'It must be above 0 and at most 0.95.'),
    );
  if (!/^[^/\s]+\/[^/\s]+$/.test(request.repo))
    problems.push(badInput('The repository cannot be used.', 'It must look like owner/name.'));
  if (request.speculative_tokens < 1 || request.speculative_tokens > 3)
    problems.push(
      badInput('The drafted tokens cannot be used.', 'The model has 3 MTP layers: 1 to 3.'),
    );
  return problems;
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
        ? `Pull ${request.image} once on the head, copy it over the private link, and check that it is the same one on ${both}.`
        : `Pull ${request.image} on ${both} and check that it is the same one.`,
      {
        exactly: request.network
          ? [
              `docker pull ${request.image}`,
              `docker save ${request.image}`,
              'tandem-node copy serve --listen 192.168.100.10 --listen 192.168.101.10 --spool IMAGE',
              'docker load',
            ]
          : [`docker pull ${request.image}`],
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
      `Download ${request.repo} to ${both}, each file checked by its hash.`,
      {
        exactly: [`~/.cache/huggingface/hub/models--${request.repo.replace('/', '--')}`],
        undo: 'Removes the files that were downloaded. Files that were there before stay.',
      },
    ),
    request.mtp
      ? step(
          'graft',
          'MTP layers',
          `Add the layers for multi-token prediction (MTP: several tokens drafted at once) from ${request.source_repo} beside the weights.`,
          {
            exactly: [`~/.local/share/tandem/checkpoints/${request.served_model_name}-mtp`],
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
    request.mtp
      ? step(
          'launch-mtp',
          'Start the server, with MTP',
          `Start it again with ${request.speculative_tokens} drafted tokens.`,
          {
            exactly: ['docker run --name tandem-step-3.7-flash …'],
            undo: 'Stops and removes the containers.',
          },
        )
      : null,
    request.mtp
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
