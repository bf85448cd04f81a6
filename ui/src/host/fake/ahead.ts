// What the fake host says of disks and memory before a start. The sums are those of the engine for
// Step-3.7-Flash over two machines of 128 GB.

import type { Fit, MachineAhead, MachineView, SetupRequest } from '../../bindings';

const GIB = 2 ** 30;
const WHOLE = 129_400_000_000;

/** What lies ahead; the second machine has a part already. A share above 0.9 does not fit at the moment. */
export function aheadOf(
  request: SetupRequest,
  machines: MachineView[],
  measure: boolean,
): MachineAhead[] {
  return machines.map((machine, index) => ({
    id: machine.id,
    name: machine.name,
    survey: {
      commit: '4275532ffd9a9496ff36b7a2dc4a9db1048da438',
      files: 23,
      bytes: WHOLE,
      weights: WHOLE - 38_000_000,
      here: index === 0 ? 0 : 30_400_000_000,
      partial: index === 0 ? 0 : 4_100_000_000,
      missing: index === 0 ? WHOLE : WHOLE - 34_500_000_000,
      foreign:
        index === 0
          ? []
          : [
              {
                name: '3f2a…9c.1f0b77de.incomplete',
                fault:
                  'Another program left 2.1 GB of a file unfinished; Tandem cannot go on from it.',
              },
            ],
      free: machine.facts?.disk_free ?? 0,
      rate: measure && index === 0 ? 93_700_000 : null,
      config: null,
      mtp_built_in: true,
    },
    fit: fitOf(request, machine, machines.length),
    problem: null,
  }));
}

function fitOf(request: SetupRequest, machine: MachineView, split: number): Fit {
  const memory = machine.facts?.memory_total ?? 0;
  const free = machine.facts?.memory_available ?? 0;
  const context = Number(request.choices?.context ?? 262_144);
  const budget = memory * Number(request.choices?.memory_share ?? 0.85);
  const parts = [
    { what: 'Weights', bytes: WHOLE / split, how: `120.5 GiB of safetensors, split over ${split}` },
    {
      what: 'To compute with',
      bytes: 6.8 * GIB,
      how: 'activations, CUDA, NCCL and CUDA graphs, as measured with Step-3.7-Flash',
    },
    {
      what: 'KV cache',
      bytes: 3.3 * GIB * (context / 262_144),
      how: `one request of ${context} tokens: 12 layers that remember all of it, 36 that remember 512 tokens`,
    },
  ];
  const need = parts.reduce((sum, part) => sum + part.bytes, 0);
  const gib = (n: number) => `${(n / GIB).toFixed(1)} GiB`;
  const room = budget - need + (parts[2]?.bytes ?? 0);
  if (need > budget)
    return {
      budget,
      parts,
      verdict: 'too-large',
      says: `It does not fit: ${gib(need)} are needed before the first token, and vLLM may take ${gib(budget)} of ${gib(memory)}. ${split === 1 ? 'Use two machines, or a smaller model.' : 'Use a smaller model.'}`,
      requests: null,
    };
  if (free < budget)
    return {
      budget,
      parts,
      verdict: 'occupied',
      says: `It fits, but only ${gib(free)} of ${gib(memory)} are free at the moment, and vLLM does not start below ${gib(budget)}. Stop what runs there.`,
      requests: 11.1,
    };
  return {
    budget,
    parts,
    verdict: 'fits',
    says: `It fits: ${gib(room)} are left for the KV cache.`,
    requests: room / (parts[2]?.bytes ?? 1),
  };
}
