/** Storage of one tensor type: `elements` values take `bytes` bytes. */
interface BlockLayout {
  readonly elements: number;
  readonly bytes: number;
}

const layout = (id: number, elements: number, bytes: number) => ({ id, elements, bytes });

/**
 * Every tensor type that the format defines, so that a file can be listed and a type refused by name.
 * Which of them can be computed with is the reader's choice: see `DEQUANTIZABLE_TYPES`.
 */
const TENSOR_TYPES = {
  F32: layout(0, 1, 4),
  F16: layout(1, 1, 2),
  Q4_0: layout(2, 32, 18),
  Q4_1: layout(3, 32, 20),
  Q5_0: layout(6, 32, 22),
  Q5_1: layout(7, 32, 24),
  Q8_0: layout(8, 32, 34),
  Q8_1: layout(9, 32, 40),
  Q2_K: layout(10, 256, 84),
  Q3_K: layout(11, 256, 110),
  Q4_K: layout(12, 256, 144),
  Q5_K: layout(13, 256, 176),
  Q6_K: layout(14, 256, 210),
  Q8_K: layout(15, 256, 292),
  IQ2_XXS: layout(16, 256, 66),
  IQ2_XS: layout(17, 256, 74),
  IQ3_XXS: layout(18, 256, 98),
  IQ1_S: layout(19, 256, 50),
  IQ4_NL: layout(20, 32, 18),
  IQ3_S: layout(21, 256, 110),
  IQ2_S: layout(22, 256, 82),
  IQ4_XS: layout(23, 256, 136),
  I8: layout(24, 1, 1),
  I16: layout(25, 1, 2),
  I32: layout(26, 1, 4),
  I64: layout(27, 1, 8),
  F64: layout(28, 1, 8),
  IQ1_M: layout(29, 256, 56),
  BF16: layout(30, 1, 2),
  TQ1_0: layout(34, 256, 54),
  TQ2_0: layout(35, 256, 66),
  MXFP4: layout(39, 32, 17),
  NVFP4: layout(40, 64, 36),
  Q1_0: layout(41, 128, 18),
} as const;

export type GgufType = keyof typeof TENSOR_TYPES;

const TYPE_BY_ID: ReadonlyMap<number, GgufType> = new Map(
  (Object.keys(TENSOR_TYPES) as GgufType[]).map((type) => [TENSOR_TYPES[type].id, type]),
);

export const blockLayout = (type: GgufType): BlockLayout => TENSOR_TYPES[type];
export const tensorTypeId = (type: GgufType): number => TENSOR_TYPES[type].id;
export const tensorTypeFromId = (id: number): GgufType | undefined => TYPE_BY_ID.get(id);
