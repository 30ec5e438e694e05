import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";

export interface ResultFile {
  readonly name: string;
  readonly text: string;
}

export interface ResultFolder {
  /** Each file is written aside and renamed, so that none is ever half of what it should be. */
  write(files: readonly ResultFile[]): Promise<void>;
}

/** Makes the folder, so that a path that can't be is known before anything is measured. */
export async function openResultFolder(path: string): Promise<ResultFolder> {
  await mkdir(path, { recursive: true });
  return {
    async write(files) {
      for (const { name, text } of files) {
        const aside = join(path, `${name}.partial`);
        await Bun.write(aside, text);
        await rename(aside, join(path, name));
      }
    },
  };
}
