import { randomUUID } from "node:crypto";
import { mkdir, rename, rm } from "node:fs/promises";

/** Several processes may find the same damaged folder and replace it at the same time. */
const PLACE_ATTEMPTS_MAX = 5;

export interface BuiltFolder<Content> {
  /** What is in the folder; undefined when it is not there, incomplete or damaged. */
  readonly find: (dir: string) => Promise<Content | undefined>;
  /** Fills an empty folder. */
  readonly build: (dir: string) => Promise<Content>;
}

/**
 * A folder that is whole or not there: what `find` sees in `dir`, else it is built aside and moved there when
 * complete. A damaged one is replaced; an intact one that another process has put there in the meantime is left
 * alone, since it may be in use.
 */
export async function provideFolder<Content>(
  dir: string,
  { find, build }: BuiltFolder<Content>,
): Promise<Content> {
  const known = await find(dir);
  if (known !== undefined) return known;
  const aside = `${dir}.${randomUUID()}.partial`;
  await mkdir(aside, { recursive: true });
  try {
    const built = await build(aside);
    for (let attempt = 1; ; attempt++) {
      try {
        await rename(aside, dir);
        return built;
      } catch (error) {
        const other = await find(dir);
        if (other !== undefined) return other;
        if (attempt === PLACE_ATTEMPTS_MAX) throw error;
        await rm(dir, { recursive: true, force: true });
      }
    }
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}
