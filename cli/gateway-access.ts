import { createPrivateKey, X509Certificate } from "node:crypto";
import { defaultKeysPath, readKeys } from "./keys-file.ts";
import { LOOPBACK } from "./loopback.ts";
import type { UpOptions } from "./up-options.ts";
import { UsageError } from "./usage-error.ts";

/**
 * Refuses to serve other machines without keys unless that was asked for, and a certificate that can't be used:
 * before anything is started.
 * @throws {UsageError} and {KeysFileError}
 */
export async function requireSafeAccess(options: UpOptions): Promise<void> {
  const { host, keys, open = false } = options;
  const known = await readKeys(keys ?? defaultKeysPath());
  if (keys !== undefined && known.length === 0) {
    throw new UsageError(
      `option '--keys <file>' is '${keys}', which has no keys; 'flowmesh keys add <name> --file ${keys}' makes one.`,
    );
  }
  if (open && known.length > 0) {
    throw new UsageError(
      `option '--open' lets everybody in, and ${keys ?? defaultKeysPath()} has keys; leave one of the two out.`,
    );
  }
  if (!LOOPBACK.has(host) && known.length === 0 && !open) {
    throw new UsageError(
      `option '--host <address>' is '${host}': other machines could use the API, and it has no keys. Make one with ` +
        "'flowmesh keys add <name>', or say --open if whoever reaches this machine may use it.",
    );
  }
  for (const origin of options.cors ?? []) {
    if (!URL.canParse(origin) || new URL(origin).origin !== origin) {
      throw new UsageError(
        `option '--cors <origin...>' is '${origin}'; it must be like https://chat.example.org.`,
      );
    }
  }
  await requireUsableTls(options);
}

/** Both files, or none. */
export function tlsOf({ tlsCert, tlsKey }: UpOptions): { cert: string; key: string } | undefined {
  return tlsCert === undefined || tlsKey === undefined ? undefined : { cert: tlsCert, key: tlsKey };
}

async function requireUsableTls(options: UpOptions): Promise<void> {
  const { tlsCert, tlsKey } = options;
  const tls = tlsOf(options);
  if (tls === undefined) {
    if (tlsCert === tlsKey) return;
    throw new UsageError(
      "options '--tls-cert <file>' and '--tls-key <file>' go together; one of them is missing.",
    );
  }
  const read = async (option: string, path: string): Promise<string> => {
    const file = Bun.file(path);
    if (await file.exists()) return file.text();
    throw new UsageError(`option '${option} <file>' is '${path}', and there is no such file.`);
  };
  const [cert, key] = [await read("--tls-cert", tls.cert), await read("--tls-key", tls.key)];
  try {
    if (new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) return;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UsageError(
      `${tls.cert} and ${tls.key} must be a certificate and its private key in PEM: ${why}`,
    );
  }
  throw new UsageError(`the private key in ${tls.key} is not that of the certificate in ${tls.cert}.`);
}
