import { createMemoryBlobStore } from '../../server/adapters/blob-memory.js';
import { blobStoreContract } from './blob-store.contract.js';

const blobs = createMemoryBlobStore();
blobStoreContract('memory', () => blobs);
