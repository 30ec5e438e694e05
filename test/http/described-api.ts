import Ajv2020, { type ValidateFunction } from "ajv/dist/2020.js";
import type { openapiDocument } from "../../http/openapi/document.ts";

type Json = Readonly<Record<string, unknown>>;

interface DataSchema {
  readonly const?: string;
  readonly contentSchema?: Json;
}
interface MediaType {
  readonly schema: Json & {
    readonly properties?: { readonly data?: { readonly anyOf: readonly DataSchema[] } };
  };
  readonly example?: unknown;
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>;
}
type Content = Readonly<Record<string, MediaType>>;
interface DescribedResponse {
  readonly headers?: Json;
  readonly content?: Content;
}
export interface Operation {
  readonly operationId: string;
  readonly security: readonly object[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, DescribedResponse>>;
}

/** Headers that HTTP, or the server's protection of pages, puts on any reply: they are no part of the API. */
const PLAIN_HEADERS = new Set([
  ..."content-type content-security-policy referrer-policy x-content-type-options x-frame-options vary".split(
    " ",
  ),
  ..."cross-origin-opener-policy cross-origin-resource-policy origin-agent-cluster cache-control etag".split(
    " ",
  ),
  ..."x-dns-prefetch-control x-download-options x-permitted-cross-domain-policies x-xss-protection".split(
    " ",
  ),
  ..."content-encoding transfer-encoding connection allow www-authenticate x-accel-buffering".split(" "),
  ..."access-control-allow-origin access-control-expose-headers access-control-allow-methods".split(" "),
  ..."access-control-allow-headers content-length date".split(" "),
]);

/** Judges exchanges by a description of the API, with a validator that knows nothing of where it comes from. */
export class DescribedApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly #ajv = new Ajv2020({ strict: false, allErrors: false });
  readonly #compiled = new Map<Json, ValidateFunction>();

  constructor(document: ReturnType<typeof openapiDocument>) {
    // As a client has it.
    const { paths, components } = JSON.parse(JSON.stringify(document));
    this.paths = paths;
    this.#ajv.addSchema({ $id: "api:", components });
  }

  /** `METHOD /path` of each operation. */
  get operations(): readonly string[] {
    return Object.entries(this.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
  }

  /** Undefined for paths and methods that are not described. */
  operation(method: string, pathname: string): Operation | undefined {
    const path = Object.keys(this.paths).find((one) => one === pathname || matches(one, pathname));
    return path === undefined
      ? undefined
      : this.paths[path]?.[method === "HEAD" ? "get" : method.toLowerCase()];
  }

  /** What of a response is not as described. `text`: its body, as far as it shall be looked at. */
  problems(request: Request, response: Response, text?: string): string[] {
    const { pathname } = new URL(request.url);
    const where = `${request.method} ${pathname}: ${response.status}`;
    const type = response.headers.get("content-type")?.split(";")[0] ?? "";
    const operation = this.operation(request.method, pathname);
    if (operation === undefined) {
      if (request.method === "OPTIONS" && response.status === 204) return [];
      if (response.status !== 404 && response.status !== 405 && response.status !== 401) {
        return [`${where} at what is not described`];
      }
      return this.#described({ schema: { $ref: "#/components/schemas/Error" } }, text).map(
        (problem) => `${where} ${problem}`,
      );
    }
    // Nobody receives it: the client is gone.
    if (response.status === 499) return [];
    const described = operation.responses[response.status];
    if (described === undefined) return [`${where} is not described`];
    const known = new Set(Object.keys(described.headers ?? {}));
    const found = [...response.headers.keys()]
      .filter((name) => !known.has(name) && !PLAIN_HEADERS.has(name))
      .map((name) => `${where} has the header ${name}, which is not described`);
    const media = described.content?.[type];
    if (response.status === 304) return found;
    if (media === undefined) return [...found, `${where} has the type ${type}, which is not described`];
    return [...found, ...this.#described(media, text).map((problem) => `${where} ${problem}`)];
  }

  #described(media: MediaType, text: string | undefined): string[] {
    return text === undefined ? [] : this.bodyProblems(media, text);
  }

  /** What of a value does not fit a schema; undefined if all does. */
  misfit(schema: Json, value: unknown): string | undefined {
    const validate = this.#validator(schema);
    return validate(value) ? undefined : this.#ajv.errorsText(validate.errors);
  }

  /** What of a text of this type is not as described: JSON, or an event stream. */
  bodyProblems({ schema }: MediaType, text: string): string[] {
    const forms = schema.properties?.data?.anyOf;
    if (forms === undefined) return this.#misfits(schema, [JSON.parse(text)]);
    const data = eventData(text).filter((one) => !forms.some((form) => form.const === one));
    const content = forms.find(({ contentSchema }) => contentSchema !== undefined)?.contentSchema;
    return this.#misfits(
      content ?? { not: {} },
      data.map((one) => JSON.parse(one)),
    );
  }

  #misfits(schema: Json, values: readonly unknown[]): string[] {
    return values.flatMap((value) => {
      const misfit = this.misfit(schema, value);
      return misfit === undefined ? [] : [`${misfit}: ${JSON.stringify(value)}`];
    });
  }

  #validator(schema: Json): ValidateFunction {
    const known = this.#compiled.get(schema);
    if (known !== undefined) return known;
    const local = JSON.parse(JSON.stringify(schema).replaceAll('"#/components/', '"api:#/components/'));
    const compiled = this.#ajv.compile(local);
    this.#compiled.set(schema, compiled);
    return compiled;
  }
}

function matches(path: string, pathname: string): boolean {
  const [before = "", after] = path.split(/\{.*\}/);
  return after !== undefined && pathname.startsWith(before) && pathname.length > before.length;
}

/** Data fields of an event stream's text; comments are left out. */
export const eventData = (text: string): string[] =>
  text
    .split("\n\n")
    .filter((event) => event.startsWith("data: "))
    .map((event) => event.slice("data: ".length));
