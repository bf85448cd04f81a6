// Problems of the fake host, one for each sentinel input and each failed state.

import type { Code, Problem } from '../../bindings';

/** A problem with little to say; the rest is filled in by the caller. */
export function problem(code: Code, message: string, more: Partial<Problem> = {}): Problem {
  return {
    code,
    severity: 'error',
    message,
    cause: null,
    fix: null,
    retry: 'no',
    machine: null,
    details: [],
    ...more,
  };
}

export const unreachable = (address: string) =>
  problem('unreachable', `Nothing answers at ${address}.`, {
    cause: 'No answer on port 22 within 5 seconds.',
    fix: {
      sentence: 'Check that the machine is on and in this network.',
      command: `ping ${address}`,
    },
    retry: 'now',
    details: [`connect to ${address}:22`, 'connection timed out'],
  });

export const wrongPassword = (machine: string) =>
  problem('wrong-password', `${machine} did not accept the password.`, {
    cause: 'The SSH server answered “permission denied” to the user nvidia.',
    fix: {
      sentence: 'Type the password that you use to sign in on the machine itself.',
      command: null,
    },
    machine,
  });

export const keyRefused = (machine: string) =>
  problem('key-refused', `${machine} accepted none of your keys.`, {
    cause: 'Your agent and ~/.ssh offered 2 keys, and no password was given.',
    fix: { sentence: 'Type the password of the user there.', command: null },
    machine,
  });

export const sameTwice = problem('same-machine-twice', 'The second machine was not added.', {
  cause: 'Both addresses lead to spark-5c2d.',
  fix: { sentence: 'Type the address of the other Spark.', command: null },
});

export const hostKeyChanged = (machine: string) =>
  problem('host-key-changed', `${machine} shows another host key than before.`, {
    cause: 'The key pinned on 12 November is not the one that answers now. Nothing was sent.',
    fix: {
      sentence: 'If you installed the machine anew, remove it here and add it again.',
      command: null,
    },
    machine,
  });

export const diskTooSmall = problem(
  'disk-too-small',
  'The weights were not downloaded to spark-bd26.',
  {
    cause: 'They need 134 GB, and the disk of /home/nvidia/.cache/huggingface has 61.2 GB free.',
    fix: {
      sentence: 'Remove what you no longer need there, then go on.',
      command: 'du -sh ~/.cache/huggingface/hub/* | sort -h | tail',
    },
    retry: 'now',
    machine: 'spark-bd26',
    details: [
      'check step `weights`',
      'statvfs /home/nvidia/.cache/huggingface: 61203283968 bytes free',
    ],
  },
);

export const passwordNeeded = problem(
  'sudo-password-needed',
  'The private network was not set up on spark-bd26.',
  {
    cause:
      'Writing /etc/netplan needs root, and Tandem holds no password for nvidia in this session.',
    fix: { sentence: 'Type the password of nvidia on spark-bd26.', command: null },
    retry: 'now',
    machine: 'spark-bd26',
  },
);

export const badInput = (message: string, cause: string) =>
  problem('bad-input', message, { cause });
