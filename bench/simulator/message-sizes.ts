/** Sizes of the mesh's messages, as transport/frame.ts lays them out; rows travel as f32. */
const FRAME_BYTES = 36 + 4;
const ROW_NUMBER_BYTES = 4;

/** Commits, acks, credits and other JSON, with subject and headers. */
export const JSON_BYTES = 300;

/** `hidden`: numbers a node that travel along; 0 on the way to the first stage. */
export function segmentBytes(nodes: number, hidden: number): number {
  return FRAME_BYTES + nodes * (16 + ROW_NUMBER_BYTES * hidden);
}

/** The rows of one tapped layer. */
export function featureBytes(positions: number, hidden: number): number {
  return FRAME_BYTES + positions * (4 + ROW_NUMBER_BYTES * hidden);
}
