/** A file of the page that people open in a browser, ready to be sent. */
export interface PageFile {
  readonly type: string;
  readonly body: Uint8Array<ArrayBuffer>;
  readonly gzipped: Uint8Array<ArrayBuffer>;
  readonly etag: string;
}

/** The page's files by path; made when they are first asked for. */
export type Page = () => Promise<ReadonlyMap<string, PageFile>>;

export const PAGE_PATHS = ["/", "/page.js", "/page.css", "/icon.svg"] as const;
