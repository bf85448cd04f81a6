// The runs for the cable alone that the fake host proposes.

import type { LinkView, MachineView, Plan } from '../../bindings';
import { defaults, step, steps } from './plan';

/** Whether a plan is for the cable alone. */
export function isLink(plan: Plan): boolean {
  return plan.procedure === 'link' || plan.procedure === 'restart';
}

/** What a run for the cable alone would do. In the state `well` the addresses are on the ports already. */
export function linkFor(
  machines: MachineView[],
  restart: boolean,
  state: string,
  served: string | null,
): LinkView {
  const setup = defaults(machines);
  const names = machines.map((m) => m.name).join(' and ');
  const known = ['well', 'serving', 'hot-plug'].includes(state)
    ? 'These addresses are on the ports already and look like Tandem’s own.'
    : null;
  const network = { ...(setup.network ?? { rails: [], mtu: 9000 }), adopted: known };
  const of = (id: string) =>
    steps(
      setup,
      machines.map((m) => m.name),
    ).filter((s) => s.id === id);
  const prove = step(
    'prove',
    'Bandwidth',
    'Measures what the private link carries, for about half a minute.',
    { exactly: ['ib_write_bw -d rocep1s0f1 -D 5 -F --report_gbits'], undo: 'Changes nothing.' },
  );
  const again = step(
    'restart',
    'Restart',
    'Restarts both machines at once and waits until they are back, for some minutes.',
    {
      exactly: ['sudo systemctl reboot --no-block'],
      undo: 'A restart is not taken back.',
      privileged: true,
    },
  );
  const cautions = restart
    ? [
        ...(served === null
          ? []
          : [`\`${served}\` is served now. It stops, and is started again by a set-up.`]),
        `Whatever runs on ${names} stops: a model server, downloads, other people's programs. What was saved to disk stays.`,
      ]
    : [];
  return {
    request: { machines: setup.machines, network, restart },
    problems: [],
    plan: {
      procedure: restart ? 'restart' : 'link',
      procedure_version: 1,
      summary: restart
        ? `Restart ${names} and measure the link.`
        : `Address and measure the link between ${names}.`,
      cautions,
      steps: [
        ...of('connect'),
        ...(restart ? [again] : []),
        ...of('facts'),
        ...of('network'),
        prove,
      ],
    },
  };
}
