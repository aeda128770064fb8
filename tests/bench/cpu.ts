/** Seconds of processor time that a server has taken: its own, its children's, those that are gone too. */
import { readdirSync, readFileSync } from 'node:fs';

/** null where there is no /proc. */
export type CpuClock = () => number | null;

/** Linux counts in hundredths of a second, whatever the kernel's own tick is. */
const TICKS = 100;

export function cpuOf(...servers: number[]): CpuClock {
  return () => {
    let ticks = 0;
    for (const name of processes()) {
      const stat = readStat(name);
      if (!stat) continue;
      const own = stat.times.slice(0, 2);
      if (servers.includes(stat.pid)) ticks += sum(stat.times);
      else if (servers.includes(stat.parent)) ticks += sum(own);
    }
    return ticks ? ticks / TICKS : null;
  };
}

const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);

function processes(): string[] {
  try {
    return readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

/** Its times: user, system, and the same of the children it has waited for. */
function readStat(name: string): { pid: number; parent: number; times: number[] } | undefined {
  try {
    // The name of the program, in parentheses, may hold anything.
    const fields = readFileSync(`/proc/${name}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return {
      pid: Number(name),
      parent: Number(fields[1]),
      times: fields.slice(11, 15).map(Number),
    };
  } catch {
    return undefined; // it ended meanwhile
  }
}
