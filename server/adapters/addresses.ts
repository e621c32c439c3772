/** Whose address a request has: the peer's, or what the proxies say that are trusted. */
import express from 'express';
import type { Request } from './peers.js';
import { peerOf } from './peers.js';

export interface Addresses {
  /** Whether connections of this address are a proxy's, which carry many peers. */
  isProxy(address: string): boolean;
  /** The same as Express's `req.ip`, also for what Express never sees: sockets. */
  of(req: Request): string;
}

type Trusts = (address: string, hop: number) => boolean;

/** @param trustProxy number of proxies in front, or their addresses: Express's `trust proxy` */
export function addressesBehind(trustProxy: number | readonly string[]): Addresses {
  // Express compiles the setting; there is no second opinion on what it means.
  const compiler = express();
  compiler.set('trust proxy', typeof trustProxy === 'number' ? trustProxy : [...trustProxy]);
  const trusts = compiler.get('trust proxy fn') as Trusts;
  return {
    isProxy: (address) => trusts(address, 0),
    of: (req) => {
      const forwarded = String(req.headers['x-forwarded-for'] ?? '').split(',');
      const told = forwarded.map((part) => part.trim()).filter((part) => part !== '');
      const hops = [peerOf(req).address, ...told.reverse()];
      return hops.find((hop, i) => i === hops.length - 1 || !trusts(hop, i)) ?? '';
    },
  };
}

/** No address is longer, with zone and port. */
const MOST_CHARACTERS = 64;

/**
 * What limits count by. An IPv6 peer has at least a /64 of addresses to itself, and would have as many
 * allowances as it likes.
 */
export function neighbourhood(written: string): string {
  // A header may hold anything, and limits remember many addresses.
  const address = written.slice(0, MOST_CHARACTERS);
  // Some proxies write the port beside the address: each connection would be a peer of its own.
  const v4 = /^(?:::ffff:)?(\d+\.\d+\.\d+\.\d+)(?::\d+)?$/i.exec(address)?.[1];
  if (v4 !== undefined || !address.includes(':')) return v4 ?? address;
  const [head, tail] = halves(address.split('%')[0]);
  const zeros = Array<string>(Math.max(0, 8 - head.length - tail.length)).fill('0');
  return [...head, ...zeros, ...tail].slice(0, 4).join(':').toLowerCase();
}

/** What is before and after the zeros that an IPv6 address leaves out. */
function halves(address: string): [string[], string[]] {
  const gap = address.indexOf('::');
  const groups = (part: string): string[] => part.split(':').filter((group) => group !== '');
  if (gap < 0) return [groups(address), []];
  return [groups(address.slice(0, gap)), groups(address.slice(gap))];
}
