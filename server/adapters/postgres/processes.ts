/**
 * Which process is which. A number alone is not enough: after a crash or a container's restart the
 * number in a left-over file may belong to somebody else, often to ourselves (pid 1 in Docker).
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, readlinkSync, realpathSync } from 'node:fs';

/** A process in writing: `<pid>-<ticks>`, ticks since boot when it started; 0 where unknown. */
export type ProcessMark = string;

interface ProcStat {
  readonly state: string;
  readonly startTicks: string;
}

/** Linux only; elsewhere, and for a process that is gone, undefined. */
function procStat(pid: number): ProcStat | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in brackets and may itself hold spaces and brackets.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0], startTicks: fields[19] };
  } catch {
    return undefined;
  }
}

/** Whether a process of this number runs. A zombie, which nobody may ever reap, does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs, as another user.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const state = procStat(pid)?.state;
  return state !== 'Z' && state !== 'X';
}

export function thisProcess(): ProcessMark {
  return `${process.pid}-${procStat(process.pid)?.startTicks ?? '0'}`;
}

/** Whether the very process that made this mark still runs; false for text that is no mark. */
export function markIsAlive(mark: ProcessMark): boolean {
  const parts = /^(\d+)-(\d+)$/.exec(mark);
  if (!parts) return false;
  const pid = Number(parts[1]);
  return isAlive(pid) && (procStat(pid)?.startTicks ?? '0') === parts[2];
}

/**
 * Whether `pid` is a PostgreSQL server on this data directory. The server's working directory is
 * its data directory, which settles it on Linux; elsewhere the command's name must do.
 */
export function isPostmaster(pid: number, dataDirectory: string): boolean {
  if (!isAlive(pid)) return false;
  try {
    if (process.platform === 'linux') {
      return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(dataDirectory);
    }
    const command = execFileSync('ps', ['-p', String(pid), '-o', 'command='], { encoding: 'utf8' });
    return command.includes('postgres');
  } catch {
    return false; // another user's process, or gone while we looked
  }
}
