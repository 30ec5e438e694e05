import type { Epoch } from "../decoding/ids.ts";

/** Which layers each stage runs, under which number. `bounds` has stages + 1 entries, from 0 to the layer count. */
export interface Placement {
  readonly epoch: Epoch;
  readonly bounds: readonly number[];
}
