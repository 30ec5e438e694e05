import { availableParallelism, cpus } from "node:os";

/** Where and how a result came about. */
export interface Provenance {
  /** As one would type it. */
  readonly command: string;
  readonly machine: string;
  readonly date: string;
  /** Commit of this program's code. */
  readonly code: string;
}

export async function provenance(): Promise<Provenance> {
  return {
    command: ["./flowmesh", ...process.argv.slice(2).map(quoted)].join(" "),
    machine: `${cpus()[0]?.model ?? "unknown processor"}, ${availableParallelism()} cores`,
    date: new Date().toISOString(),
    code: await codeVersion(),
  };
}

/** As a shell takes it. */
const quoted = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** The commit that lies checked out, and whether something was changed since. */
async function codeVersion(): Promise<string> {
  const git = async (...args: string[]) => {
    const { stdout, exitCode } = await Bun.$`git ${args}`
      .cwd(import.meta.dir)
      .nothrow()
      .quiet();
    return exitCode === 0 ? stdout.toString().trim() : "";
  };
  const commit = await git("rev-parse", "--short", "HEAD");
  if (commit === "") return "without version control";
  return (await git("status", "--porcelain")) === "" ? commit : `${commit}, with changes`;
}
