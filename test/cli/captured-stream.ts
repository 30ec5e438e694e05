import type { ProgressStream } from "../../cli/progress.ts";

/** Keeps what is written. */
export class CapturedStream implements ProgressStream {
  text = "";
  readonly isTTY: boolean;
  readonly columns: number;

  constructor(options: { readonly isTTY: boolean; readonly columns?: number }) {
    this.isTTY = options.isTTY;
    this.columns = options.columns ?? 80;
  }

  write(text: string): void {
    this.text += text;
  }
}
