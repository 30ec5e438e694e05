/** Elements that share a scale. */
export const QUANT_BLOCK = 32;
const ZERO_POINT = 128;
const CODE_MAX = 127;

export interface QuantisedRows {
  /** [elements] value = scale · (code − 128) */
  readonly codes: Uint8Array;
  /** [elements / 32] */
  readonly scales: Float32Array;
}

/**
 * Rounds a matrix whose rows are whole blocks to 8 bits with a scale for each block of 32. Values that
 * came from Q8_0 are kept up to fp32 rounding.
 */
export function quantiseRows(values: Float32Array): QuantisedRows {
  const codes = new Uint8Array(values.length);
  const scales = new Float32Array(values.length / QUANT_BLOCK);
  for (let block = 0; block < scales.length; block++) {
    const start = block * QUANT_BLOCK;
    let largest = 0;
    for (let i = start; i < start + QUANT_BLOCK; i++) largest = Math.max(largest, Math.abs(values[i]!));
    const scale = largest / CODE_MAX;
    scales[block] = scale;
    for (let i = start; i < start + QUANT_BLOCK; i++) {
      codes[i] = ZERO_POINT + (scale === 0 ? 0 : Math.round(values[i]! / scale));
    }
  }
  return { codes, scales };
}
