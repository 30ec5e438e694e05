interface ForeignFormat {
  readonly name: string;
  readonly remedy: string;
}

const CONVERT = "Convert the model with llama.cpp's convert_hf_to_gguf.py, or fetch its .gguf file";
const DOWNLOAD = "Fetch the file itself, not the page that shows it";

const startsWith = (head: Uint8Array, bytes: readonly number[]): boolean =>
  bytes.every((byte, i) => head[i] === byte);

/** What a file that begins with these bytes is, if it is one of the things people mistake for a GGUF file. */
export function foreignFormat(head: Uint8Array): ForeignFormat | undefined {
  const text = new TextDecoder("latin1").decode(head).trimStart().toLowerCase();
  if (text.startsWith("<!doctype") || text.startsWith("<html")) {
    return { name: "an HTML page", remedy: DOWNLOAD };
  }
  if (text.startsWith("version https://git-lfs")) {
    return { name: "a Git LFS pointer", remedy: "Run `git lfs pull` where the file came from" };
  }
  // An 8-byte length, then a JSON object.
  if (head[8] === 0x7b && startsWith(head.subarray(5), [0, 0, 0])) {
    return { name: "a safetensors file", remedy: CONVERT };
  }
  if (startsWith(head, [0x50, 0x4b, 0x03, 0x04])) {
    return { name: "a zip archive (perhaps a PyTorch checkpoint)", remedy: CONVERT };
  }
  if (head[0] === 0x80 && (head[1] ?? 0) >= 2 && (head[1] ?? 0) <= 5) {
    return { name: "a Python pickle (an old PyTorch checkpoint)", remedy: CONVERT };
  }
  if (["ggml", "ggjt", "ggla", "ggmf"].some((magic) => text.startsWith([...magic].reverse().join("")))) {
    return { name: "a GGML file from before GGUF", remedy: CONVERT };
  }
  return undefined;
}
