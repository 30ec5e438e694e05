import { chmod, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder that stands for PATH, with these shell scripts in it. */
export async function searchPathWith(programs: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "programs-"));
  for (const [name, script] of Object.entries(programs)) {
    await Bun.write(join(folder, name), `#!/bin/sh\n${script}\n`);
    await chmod(join(folder, name), 0o755);
  }
  return folder;
}

export interface FakePip {
  /** What `pip --version` reports. */
  readonly version?: string;
  /** Shell commands for `pip download`, with the destination in $dest. */
  readonly download: string;
  /** Shell commands for `zipfile -e`, with the destination in $dest. */
  readonly unpack?: string;
}

/** A python3 that plays `python3 -m pip` and `python3 -m zipfile`. */
export const fakePython = (pip: FakePip): string => `
for last; do dest=$last; done
case "$2 $3" in
  "pip --version") echo "pip ${pip.version ?? "25.0"} from nowhere" ;;
  "pip download") ${pip.download} ;;
  "zipfile -e") mkdir -p "$dest"; ${pip.unpack ?? ":"} ;;
esac`;
