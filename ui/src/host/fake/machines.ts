// The machines of the fake host: two Sparks as they report themselves, with small differences.

import type { Facts, MachineView } from '../../bindings';

export const GIB = 2 ** 30;

function facts(name: string, last: number, more: Partial<Facts> = {}): Facts {
  return {
    hostname: name,
    machine_id: `7d0c5b1e93a54a0c9c1f00000000${last.toString().padStart(4, '0')}`,
    arch: 'aarch64',
    kernel: '6.17.0-1031-nvidia',
    os: 'Ubuntu 24.04.4 LTS',
    product: 'NVIDIA DGX Spark',
    dgx_os: '7.5.0',
    dgx_os_date: '2026-07-14',
    firmware: '28.45.4028',
    gpu_now: { watts: 11.4, clock_mhz: 208, busy: 0 },
    docker_version: '29.1.3',
    docker_snap: false,
    gpu: 'NVIDIA GB10',
    driver: '580.159.03',
    memory_total: 127_600_748 * 1024,
    memory_available: 117 * GIB,
    cma_total: 131_072 * 1024,
    disk_free: 2_614_000_000_000,
    disk_total: 3_936_000_000_000,
    hf_home: '/home/nvidia/.cache/huggingface',
    user: 'nvidia',
    groups: ['nvidia', 'sudo', 'docker'],
    sudo_free: false,
    docker: 'open',
    interfaces: [
      nic('enP7s7', null, false, 10_000, 1500, [`192.168.1.${40 + last}/24`], null),
      nic('enp1s0f1np1', 'p1', true, 200_000, 1500, [], 'rocep1s0f1'),
      nic('enP2p1s0f1np1', 'p1', true, 200_000, 1500, [], 'roceP2p1s0f1'),
    ],
    default_interface: 'enP7s7',
    clock_ms: Date.now(),
    simulated: false,
    ...more,
  };
}

function nic(
  name: string,
  port: string | null,
  fabric: boolean,
  speed: number,
  mtu: number,
  ipv4: string[],
  rdma: string | null,
) {
  return { name, port, fabric, carrier: true, speed, mtu, mac: '4c:bb:47:2f:fb:97', ipv4, rdma };
}

/** A machine as the window sees it. */
export function machine(name: string, last: number, more: Partial<Facts> = {}): MachineView {
  return {
    id: `m-${name}`,
    name,
    address: `192.168.1.${40 + last}`,
    port: 22,
    user: 'nvidia',
    fingerprint: fingerprint(name),
    facts: facts(name, last, more),
    reachable: true,
    problems: [],
    sudo: 'password-held',
  };
}

/** The two of the stories. The second differs a little, so that marked differences can be seen. */
export function pair(simulated = false): [MachineView, MachineView] {
  const names: [string, string] = simulated
    ? ['rehearsal-a', 'rehearsal-b']
    : ['spark-5c2d', 'spark-bd26'];
  return [
    machine(names[0], 1, { simulated }),
    machine(names[1], 2, {
      simulated,
      driver: simulated ? '580.159.03' : '580.142',
      disk_free: 1_871_000_000_000,
      memory_available: 115 * GIB,
    }),
  ];
}

/** A fingerprint that belongs to a name and looks like one. */
export function fingerprint(name: string): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  let seed = [...name].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) >>> 0, 7);
  let text = '';
  for (let i = 0; i < 43; i += 1) {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    text += letters[seed >>> 26];
  }
  return `SHA256:${text}`;
}
