export interface Progress {
  /** What is being fetched, for a person. */
  readonly what: string;
  readonly doneBytes: number;
  readonly totalBytes?: number;
}

export type OnProgress = (progress: Progress) => void;

export interface ProvisionOptions {
  readonly cacheRoot: string;
  readonly onProgress?: OnProgress;
  /** Ends the work with the signal's reason and leaves nothing half-done. */
  readonly signal?: AbortSignal;
  /** Folders in which programs are looked for, as in PATH; the process's own PATH if absent. */
  readonly searchPath?: string;
}
