/** Node 20 starts no worker from TypeScript: this one loads it. */
import { register } from 'tsx/esm/api';

register();
await import('./member.ts');
