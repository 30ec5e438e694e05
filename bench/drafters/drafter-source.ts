import { compileDraftHead, DEFAULT_HEAD_MANIFEST } from "../../models/draft/compile-head.ts";
import { HeadDraftEngine } from "../../models/draft/head-draft-engine.ts";
import type { HeadModel } from "../../models/draft/head-model.ts";
import { NgramDraftEngine } from "../../models/draft/ngram-draft-engine.ts";
import { OrtHeadModel } from "../../models/draft/ort-head-model.ts";
import type { DraftKind } from "../../models/draft/worker-draft-engine.ts";
import type { DraftEngine } from "../../models/draft-engine.ts";
import type { GgufFile } from "../../models/gguf/gguf-file.ts";

/** A drafter to measure, as the command line names it. */
export interface DrafterSource {
  /** As it was written. */
  readonly name: string;
  readonly kind: DraftKind;
  /** Manifest of its head; absent: the one that comes along, or none for n-grams. */
  readonly manifestPath?: string;
}

/** What `parseDrafter` takes, for messages. */
export const DRAFTER_FORMS = "head, ngram, hybrid, FILE.json or hybrid:FILE.json";

/** Undefined when `text` names no drafter. */
export function parseDrafter(text: string): DrafterSource | undefined {
  if (text === "ngram") return { name: text, kind: "ngram" };
  const [, kind = "head", file] = /^(?:([a-z]+):)?(.+\.json)$/.exec(text) ?? [text, text];
  if (kind !== "head" && kind !== "hybrid") return undefined;
  return { name: text, kind, ...(file !== undefined && { manifestPath: file }) };
}

/** Passes of a head's layers, and the nodes in them. */
export interface PassCount {
  passes: number;
  nodes: number;
}

/** A drafter that runs in this thread, so that its time is its own. */
export interface OpenDrafter {
  readonly source: DrafterSource;
  readonly engine: DraftEngine;
  /** What its head has computed so far; none for n-grams. */
  readonly counted: Readonly<PassCount>;
}

export interface OpenOptions {
  readonly gguf: GgufFile;
  readonly cacheDir: string;
  /** Hash of the target's file. */
  readonly sourceHash: string;
  readonly threads: number;
}

/** @throws {ModelFileError} when its head can't be read or was made for another model. */
export async function openDrafter(source: DrafterSource, options: OpenOptions): Promise<OpenDrafter> {
  const counted = { passes: 0, nodes: 0 };
  if (source.kind === "ngram") return { source, engine: new NgramDraftEngine(), counted };
  const { manifestPath = DEFAULT_HEAD_MANIFEST } = source;
  const dir = await compileDraftHead(options.gguf, { ...options, manifestPath });
  const model = counting(await OrtHeadModel.open(dir, options.threads), counted);
  return { source, engine: new HeadDraftEngine(model, { withNgrams: source.kind === "hybrid" }), counted };
}

function counting(model: OrtHeadModel, counted: PassCount): HeadModel {
  const { taps, hidden, layers, kvHeads, headDim, vocabulary } = model;
  return {
    ...{ taps, hidden, layers, kvHeads, headDim, vocabulary },
    fuse: (rows) => model.fuse(rows),
    forward: (pass, cache) => {
      counted.passes += 1;
      counted.nodes += pass.tokens.length;
      return model.forward(pass, cache);
    },
    close: () => model.close(),
  };
}
