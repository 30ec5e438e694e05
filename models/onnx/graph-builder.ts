import {
  AttributeType,
  bytesPerElement,
  ElementType,
  EXTERNAL_DATA,
  encodeModel,
  type OnnxAttribute,
  type OnnxNode,
  type OnnxTensor,
  type OnnxValue,
} from "./schema.ts";
import type { WeightRegion, WeightsFile } from "./weights-file.ts";

/** Opset whose operators the graphs use; every one of them is in onnxruntime's CPU build. */
const ONNX_OPSET = 21;
const ONNX_IR_VERSION = 10;
const CONTRIB_DOMAIN = "com.microsoft";
/** Tensors up to this size go into the graph itself. */
const INLINE_BYTES = 1024;

/** Name of a value in the graph: an input, an initializer or a node's output. "" is a left-out input. */
export type Value = string;
export type Dimension = number | string;
/** Integers become ONNX ints; a float must be wrapped, since 1.0 and 1 are the same in JavaScript. */
export type Attribute = number | string | readonly number[] | { readonly float: number };

export interface NodeOptions {
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** True for onnxruntime's own operators. */
  readonly contrib?: boolean;
}

export interface InitializerShape {
  readonly type: ElementType;
  readonly dims: readonly number[];
}

/** Collects nodes, inputs, outputs and weights, then gives the bytes of a `.onnx` file. */
export class GraphBuilder {
  readonly #name: string;
  readonly #weights: WeightsFile;
  readonly #nodes: OnnxNode[] = [];
  readonly #inputs: OnnxValue[] = [];
  readonly #outputs: OnnxValue[] = [];
  readonly #initializers = new Map<string, OnnxTensor>();
  readonly #regions: WeightRegion[] = [];
  readonly #constants = new Map<string, Value>();
  #nextId = 0;

  constructor(name: string, weights: WeightsFile) {
    this.#name = name;
    this.#weights = weights;
  }

  input(name: string, type: ElementType, dims: readonly Dimension[]): Value {
    this.#inputs.push(valueInfo(name, type, dims));
    return name;
  }

  /** Declares `value` as the graph's output `name`. */
  output(name: string, type: ElementType, dims: readonly Dimension[], value: Value): void {
    this.#push("Identity", [value], [name], {});
    this.#outputs.push(valueInfo(name, type, dims));
  }

  /** A node with one output. */
  node(op: string, inputs: readonly Value[], options: NodeOptions = {}): Value {
    const [output] = this.nodes(op, inputs, 1, options);
    return output!;
  }

  /** A node with several outputs. */
  nodes(op: string, inputs: readonly Value[], outputCount: number, options: NodeOptions = {}): Value[] {
    const outputs = Array.from({ length: outputCount }, () => `v${this.#nextId++}`);
    this.#push(op, inputs, outputs, options);
    return outputs;
  }

  /** A node whose outputs have given names, "" for those not wanted. */
  #push(op: string, inputs: readonly Value[], outputs: readonly Value[], options: NodeOptions): void {
    this.#nodes.push({
      name: `${op}_${this.#nodes.length}`,
      opType: op,
      domain: options.contrib ? CONTRIB_DOMAIN : "",
      input: inputs,
      output: outputs,
      attribute: Object.entries(options.attributes ?? {}).map(([name, value]) => attribute(name, value)),
    });
  }

  /** Like `nodes`, with "" in place of outputs that nobody reads: `wanted[i]` tells whether output i is. */
  pick(op: string, inputs: readonly Value[], wanted: readonly boolean[], options: NodeOptions = {}): Value[] {
    const outputs = wanted.map((isWanted) => (isWanted ? `v${this.#nextId++}` : ""));
    this.#push(op, inputs, outputs, options);
    return outputs;
  }

  /** Weights known at once, little-endian bytes in row-major order. */
  initializer(name: string, shape: InitializerShape, bytes: Uint8Array): Value {
    const length = byteLength(shape);
    if (bytes.byteLength !== length) {
      throw new RangeError(`initializer ${name} has ${bytes.byteLength} bytes, its shape needs ${length}`);
    }
    if (length > INLINE_BYTES) {
      this.stream(name, shape).append(bytes);
      return name;
    }
    this.#define(name, {
      name,
      dims: shape.dims,
      dataType: ElementType[shape.type],
      rawData: bytes,
    });
    return name;
  }

  /** Weights that are appended to the returned region piece by piece, before `build`. */
  stream(name: string, shape: InitializerShape): WeightRegion {
    const region = this.#weights.reserve(byteLength(shape));
    const { file, offset, length } = region.range;
    this.#define(name, {
      name,
      dims: shape.dims,
      dataType: ElementType[shape.type],
      dataLocation: EXTERNAL_DATA,
      externalData: [
        { key: "location", value: file },
        { key: "offset", value: String(offset) },
        { key: "length", value: String(length) },
      ],
    });
    this.#regions.push(region);
    return region;
  }

  /** A small int64 tensor of one dimension (shapes, axes, split sizes); equal ones are shared. */
  ints(...values: readonly number[]): Value {
    return this.#constant("int64", [values.length], BigInt64Array.from(values, BigInt));
  }

  /** A scalar; equal ones are shared. */
  scalar(type: "float32" | "float64", value: number): Value {
    return this.#constant(type, [], type === "float32" ? Float32Array.of(value) : Float64Array.of(value));
  }

  /** The finished file. Throws when a streamed initializer is incomplete. */
  build(): Uint8Array {
    for (const region of this.#regions) region.finish();
    return encodeModel({
      irVersion: ONNX_IR_VERSION,
      producerName: "flowmesh",
      producerVersion: "1",
      opsetImport: [
        { domain: "", version: ONNX_OPSET },
        { domain: CONTRIB_DOMAIN, version: 1 },
      ],
      graph: {
        name: this.#name,
        node: this.#nodes,
        initializer: [...this.#initializers.values()],
        input: this.#inputs,
        output: this.#outputs,
      },
    });
  }

  #define(name: string, tensor: OnnxTensor): void {
    if (this.#initializers.has(name)) throw new Error(`initializer ${name} is defined twice`);
    this.#initializers.set(name, tensor);
  }

  #constant(type: ElementType, dims: readonly number[], values: ArrayBufferView): Value {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    const key = `${type}[${dims.join()}]${bytes.toHex()}`;
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const name = this.initializer(`c${this.#nextId++}`, { type, dims }, bytes);
    this.#constants.set(key, name);
    return name;
  }
}

function byteLength({ type, dims }: InitializerShape): number {
  return dims.reduce((product, size) => product * size, bytesPerElement[type]);
}

function valueInfo(name: string, type: ElementType, dims: readonly Dimension[]): OnnxValue {
  const dim = dims.map((size) => (typeof size === "number" ? { dimValue: size } : { dimParam: size }));
  return { name, type: { tensorType: { elemType: ElementType[type], shape: { dim } } } };
}

function attribute(name: string, value: Attribute): OnnxAttribute {
  if (typeof value === "number") return { name, type: AttributeType.int, i: value };
  if (typeof value === "string") {
    return { name, type: AttributeType.string, s: new TextEncoder().encode(value) };
  }
  if ("float" in value) return { name, type: AttributeType.float, f: value.float };
  return { name, type: AttributeType.ints, ints: value };
}
