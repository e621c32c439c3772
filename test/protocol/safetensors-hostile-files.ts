import type { HostileFile } from './safetensors-files.js';
import { hostileHeaders } from './safetensors-hostile-headers.js';
import { hostileTensors } from './safetensors-hostile-tensors.js';

/** Files that must be refused, each for one reason. */
export const hostileFiles: readonly HostileFile[] = [...hostileHeaders, ...hostileTensors];
