import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";

/** How one machine runs its part of a pipeline. */
export interface Split {
  readonly stages: number;
  /** Of each stage. */
  readonly threads: number;
}

export interface TriedSplit extends Split {
  readonly tokensPerSecond: number;
}

/** Splits worth a trial on so many cores: all of them in one stage, and halves of that; a stage has a layer at least. */
export function candidateSplits(cores: number, layers: number): Split[] {
  const found: Split[] = [];
  for (let stages = 1; stages <= Math.min(cores, layers); stages *= 2) {
    found.push({ stages, threads: Math.floor(cores / stages) });
  }
  return found;
}

/** The fastest of them; of equally fast ones, that with the fewest stages. */
export function fastestSplit(tried: readonly TriedSplit[]): Split {
  const [first, ...others] = tried;
  if (first === undefined) throw new Error("no split was tried");
  return others.reduce((best, split) => (split.tokensPerSecond > best.tokensPerSecond ? split : best), first);
}

const rememberedSchema = v.pipe(
  v.string(),
  v.parseJson(),
  v.record(
    v.string(),
    v.object({ stages: v.pipe(v.number(), v.integer()), threads: v.pipe(v.number(), v.integer()) }),
  ),
);

/** Splits that were found before, by all that they depend on, in a file of the cache folder. */
export class RememberedSplits {
  readonly #path: string;

  constructor(cache: string) {
    this.#path = join(cache, "splits.json");
  }

  async get(identity: string): Promise<Split | undefined> {
    return (await this.#read())[identity];
  }

  async set(identity: string, { stages, threads }: Split): Promise<void> {
    const all = { ...(await this.#read()), [identity]: { stages, threads } };
    await mkdir(join(this.#path, ".."), { recursive: true });
    const aside = `${this.#path}.${process.pid}.partial`;
    await Bun.write(aside, `${JSON.stringify(all, null, 2)}\n`);
    await rename(aside, this.#path);
  }

  /** A file that is damaged or not there holds nothing: what it held can be measured again. */
  async #read(): Promise<Record<string, Split>> {
    const file = Bun.file(this.#path);
    if (!(await file.exists())) return {};
    const parsed = v.safeParse(rememberedSchema, await file.text());
    return parsed.success ? parsed.output : {};
  }
}
