/** What the stores refuse, worded once. */
import { TributaryError } from '../../protocol/errors.js';
import type { EnrolledClient } from '../core/records.js';

/** A change that contradicts what is stored. */
export function conflict(message: string): TributaryError {
  return new TributaryError('conflict', message);
}

export function noSuchRun(id: string): TributaryError {
  return new TributaryError('run_not_found', `no run ${id}`);
}

export function nameTaken(id: string): TributaryError {
  return new TributaryError('name_taken', `the run has a client ${id} already`);
}

export function notSole({ role, id }: Pick<EnrolledClient, 'role' | 'id'>): TributaryError {
  return conflict(`the run works with one ${role}, and "${id}" is it: revoke that one first`);
}

export function operatorTaken(name: string): TributaryError {
  return new TributaryError('name_taken', `there is an operator ${name} already`);
}

export function unknownAssignment(id: string): TributaryError {
  return new TributaryError('assignment_unknown', `no assignment ${id} that takes an update`);
}

export function usedAssignment(id: string): TributaryError {
  return new TributaryError('assignment_used', `assignment ${id} already took another update`);
}

export function weightWithoutUpdate(): TributaryError {
  return conflict('a weight for no accepted update of the round');
}
