import { openGguf } from "../../../models/gguf/gguf-file.ts";
import type { ModelFile } from "../../../models/vocabulary.ts";
import { defaultModelPath } from "../../model.ts";

/** The default model's metadata, with some of it replaced; `undefined` takes an entry away. */
export async function defaultModelFile(
  changes: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>> = {},
): Promise<ModelFile> {
  const file = await openGguf(await defaultModelPath());
  await file.close();
  const metadata = new Map(file.metadata);
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) metadata.delete(key);
    else metadata.set(key, value);
  }
  return { path: file.path, metadata };
}

const reference = (name: string) => Bun.file(new URL(`../../fixtures/reference/${name}`, import.meta.url));

/** A stored output of another implementation: see the README beside them. */
export async function readReference<Contents>(name: string): Promise<Contents> {
  return (await reference(name).json()) as Contents;
}

export async function readReferenceLines<Line>(name: string): Promise<Line[]> {
  const lines = (await reference(name).text()).trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as Line);
}

export const readReferenceText = (name: string): Promise<string> => reference(name).text();
