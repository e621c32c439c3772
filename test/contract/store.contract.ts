/** What every store promises. Run on each implementation by store.*.test.ts. */
import { afterAll, beforeEach, describe } from 'vitest';
import type { Store } from '../../server/core/ports.js';
import { clientContract } from './store-clients.contract.js';
import { commitContract } from './store-commits.contract.js';
import { historyContract } from './store-history.contract.js';
import { ledgerContract } from './store-ledger.contract.js';
import { operatorContract } from './store-operators.contract.js';
import { receiptContract } from './store-receipts.contract.js';
import { retentionContract } from './store-retention.contract.js';
import { roundContract } from './store-rounds.contract.js';
import { runContract } from './store-runs.contract.js';
import { statusContract } from './store-status.contract.js';

/** The store that the running test has for itself. */
export type TheStore = () => Store;

/** Makes a store with nothing in it. */
export type OpenStore = () => Promise<Store>;

export function storeContract(name: string, open: OpenStore): void {
  describe(`the store in ${name}`, () => {
    let store: Store | undefined;
    const theStore: TheStore = () => {
      if (!store) throw new Error('no test is running');
      return store;
    };
    beforeEach(async () => {
      await store?.close();
      store = await open();
    });
    afterAll(async () => {
      await store?.close();
    });

    describe('runs', () => runContract(theStore));
    describe('the status of a run', () => statusContract(theStore));
    describe('clients', () => clientContract(theStore));
    describe('operators', () => operatorContract(theStore));
    describe('rounds', () => roundContract(theStore));
    describe('the commit of a round', () => commitContract(theStore));
    describe('the history of a run', () => historyContract(theStore));
    describe('receipts', () => receiptContract(theStore));
    describe('retention', () => retentionContract(theStore));
    describe('the ledger', () => ledgerContract(theStore));
  });
}
