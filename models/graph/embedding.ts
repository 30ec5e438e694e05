import { dequantize } from "../gguf/dequantize.ts";
import type { Value } from "../onnx/graph-builder.ts";
import { blockForm, packRows } from "./block-weights.ts";
import { bytesOf } from "./linear.ts";
import type { GraphParts } from "./stage-graph.ts";
import { weightTensor } from "./weight-tensor.ts";

const TABLE = "token_embd.weight";
/** Rows of an fp32 table that are converted at once. */
const SLICE_ROWS = 4096;

/** Rows of the embedding table: tokens [n] int64 to [n, hidden]. Quantised tables stay quantised. */
export async function embedding(parts: GraphParts, tokens: Value): Promise<Value> {
  const { builder, gguf } = parts;
  const { type, rows, columns } = weightTensor(gguf, TABLE);
  const bytes = await gguf.readTensor(TABLE);
  const form = blockForm(type);
  if (!form) {
    const table = builder.stream(TABLE, { type: "float32", dims: [rows, columns] });
    const rowBytes = bytes.byteLength / rows;
    for (let row = 0; row < rows; row += SLICE_ROWS) {
      const end = Math.min(rows, row + SLICE_ROWS);
      const slice = bytes.subarray(row * rowBytes, end * rowBytes);
      table.append(bytesOf(dequantize(type, slice, (end - row) * columns)));
    }
    return builder.node("Gather", [TABLE, tokens], { attributes: { axis: 0 } });
  }
  const blocks = columns / form.blockSize;
  const codes = builder.stream(`${TABLE}.codes`, { type: "uint8", dims: [rows, (columns * form.bits) / 8] });
  const scales = builder.stream(`${TABLE}.scales`, { type: "float32", dims: [rows, blocks] });
  const remainders = form.hasRemainder
    ? builder.stream(`${TABLE}.remainders`, { type: "float32", dims: [rows, blocks] })
    : undefined;
  for (const packed of packRows(form, bytes, rows)) {
    codes.append(packed.codes);
    scales.append(bytesOf(packed.scales));
    if (packed.remainders) remainders?.append(bytesOf(packed.remainders));
  }
  const gathered = builder.node("GatherBlockQuantized", [`${TABLE}.codes`, tokens, `${TABLE}.scales`], {
    contrib: true,
    attributes: { bits: form.bits, block_size: form.blockSize, gather_axis: 0, quantize_axis: 1 },
  });
  if (!remainders) return gathered;
  const remainder = builder.node("Gather", [`${TABLE}.remainders`, tokens], { attributes: { axis: 0 } });
  const sum = builder.node("Add", [
    builder.node("Reshape", [gathered, builder.ints(0, blocks, form.blockSize)]),
    builder.node("Unsqueeze", [remainder, builder.ints(2)]),
  ]);
  return builder.node("Reshape", [sum, builder.ints(0, columns)]);
}
