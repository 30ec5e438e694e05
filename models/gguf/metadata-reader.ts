import { ModelFileError } from "../errors.ts";
import type { GgufFile } from "./gguf-file.ts";
import type { GgufValue } from "./header.ts";

type MetadataSource = Pick<GgufFile, "path" | "metadata">;

const isToken = (value: GgufValue): value is number => typeof value === "number" && Number.isInteger(value);

/** Metadata values by key and expected kind; every failure is a {@link ModelFileError} naming the key. */
export class MetadataReader {
  readonly #source: MetadataSource;

  constructor(source: MetadataSource) {
    this.#source = source;
  }

  string(key: string): string {
    return this.#present(key, this.optionalString(key));
  }

  optionalString(key: string): string | undefined {
    const value = this.#source.metadata.get(key);
    if (value === undefined || typeof value === "string") return value;
    throw this.#wrong(key, value, "a text");
  }

  /** An integer of at least 1. */
  count(key: string): number {
    const value = this.#present(key, this.optionalCount(key));
    if (value === 0) throw this.#wrong(key, value, "a whole number above 0");
    return value;
  }

  /** An integer of at least 0. Some files give one number for each layer: they must be the same. */
  optionalCount(key: string): number | undefined {
    const raw = this.#source.metadata.get(key);
    const value = Array.isArray(raw) && new Set(raw).size === 1 ? raw[0] : raw;
    if (value === undefined || (isToken(value) && value >= 0)) return value;
    throw this.#wrong(key, value, "a whole number");
  }

  positive(key: string): number {
    return this.#present(key, this.optionalPositive(key));
  }

  optionalPositive(key: string): number | undefined {
    const value = this.#source.metadata.get(key);
    if (value === undefined) return value;
    if (typeof value === "number" && value > 0 && Number.isFinite(value)) return value;
    throw this.#wrong(key, value, "a number above 0");
  }

  /** A token id; files mark an absent one by the highest u32 or a negative number. */
  optionalToken(key: string): number | undefined {
    const value = this.optionalInteger(key);
    return value === undefined || value < 0 || value === 0xffff_ffff ? undefined : value;
  }

  optionalInteger(key: string): number | undefined {
    const value = this.#source.metadata.get(key);
    if (value === undefined || isToken(value)) return value;
    throw this.#wrong(key, value, "a whole number");
  }

  #present<T>(key: string, value: T | undefined): T {
    if (value !== undefined) return value;
    throw new ModelFileError(
      this.#source.path,
      `its metadata lacks ${key}`,
      "Use a complete model file, converted by llama.cpp's convert_hf_to_gguf.py",
    );
  }

  #wrong(key: string, value: GgufValue, expected: string): ModelFileError {
    const shown = Array.isArray(value) ? `a list of ${value.length} values` : String(value).slice(0, 80);
    return new ModelFileError(
      this.#source.path,
      `its metadata gives ${shown} for ${key} instead of ${expected}`,
      "Check that the file was converted correctly",
    );
  }
}
