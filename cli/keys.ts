import type { KeysCommands } from "./keys-command.ts";
import { addKey, defaultKeysPath, readKeys, removeKey } from "./keys-file.ts";

/** What `flowmesh keys` does; results go to standard output, alone, for scripts. */
export const keysCommands: KeysCommands = {
  async addKey(name, { file = defaultKeysPath(), requestsPerMinute, tokensPerMinute }) {
    const key = await addKey(file, name, {
      ...(requestsPerMinute !== undefined && { requestsPerMinute }),
      ...(tokensPerMinute !== undefined && { tokensPerMinute }),
    });
    process.stdout.write(`${key}\n`);
    process.stderr.write(`Kept as a hash in ${file}; the key itself is shown this once.\n`);
  },
  async listKeys({ file = defaultKeysPath() }) {
    for (const { name, created, requestsPerMinute = "-", tokensPerMinute = "-" } of await readKeys(file)) {
      process.stdout.write(
        `${name}\t${created}\t${requestsPerMinute} requests/min\t${tokensPerMinute} tokens/min\n`,
      );
    }
  },
  async removeKey(name, { file = defaultKeysPath() }) {
    await removeKey(file, name);
    process.stderr.write(`${name} is removed.\n`);
  },
};
