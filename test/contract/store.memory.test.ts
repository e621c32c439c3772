import { createMemoryStore } from '../../server/adapters/memory-store.js';
import { storeContract } from './store.contract.js';

storeContract('memory', () => Promise.resolve(createMemoryStore()));
