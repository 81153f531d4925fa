/** The auxiliary vector: its entry types and the pairs it consists of. */

import { auxvTypes } from '../abi/constants/process.ts';

export const auxType = auxvTypes.values;

export type AuxEntry = readonly [type: number, value: number | bigint];
