import fc from "fast-check";

/** `body` is text put together by hand: some of it no JSON.stringify would write, or survive. */
export interface HostileRequest {
  readonly path: string;
  readonly body: string | Uint8Array<ArrayBuffer>;
}

const FIELDS = [
  ..."model max_tokens max_completion_tokens temperature top_p top_k min_p repetition_penalty".split(" "),
  ..."presence_penalty frequency_penalty logit_bias seed stop n stream stream_options flowmesh".split(" "),
  ..."messages prompt logprobs top_logprobs response_format tools tool_choice parallel_tool_calls".split(" "),
  ..."functions function_call modalities audio web_search_options best_of service_tier user metadata".split(
    " ",
  ),
];

/** Levels that a recursion per level may not survive. */
const DEEP = 50_000;

const nested = (open: string, core: string, close: string, levels: number): string =>
  open.repeat(levels) + core + close.repeat(levels);

const deep = fc
  .tuple(
    fc.constantFrom(
      ["[", "", "]"],
      ['{"a":', "1", "}"],
      ['{"anyOf":[', '{"type":"null"}', "]}"],
      ['{"type":"array","items":', "{}", "}"],
      ['{"type":"object","properties":{"a":', "{}", "}}"],
    ),
    fc.constantFrom(10, 60, 90, 190, 300, 3000, DEEP),
  )
  .map(([[open, core, close], levels]) =>
    nested(open!, core!, close!, Math.min(levels, Math.floor(500_000 / (open!.length + close!.length)))),
  );

const odd = fc.oneof(
  fc.constantFrom(
    ..."null true false 0 -0 -1 0.5 1e308 1e309 -1e400 9007199254740993 1e-320 [] {} [[]] [null]".split(" "),
    ...['""', '"\\ud800"', '"\\u0000"', '"__proto__"', '{"__proto__":{"stream":true}}', '{"constructor":1}'],
    ...['{"type":"json_object"}', '{"type":"function"}', '{"toString":null,"valueOf":null}', '{"length":-1}'],
  ),
  fc.string({ unit: "binary" }).map((text) => JSON.stringify(text)),
  fc.json({ maxDepth: 4 }),
  deep,
);

const keyword = fc.constantFrom(
  ..."type enum const anyOf allOf $ref properties required additionalProperties items prefixItems".split(" "),
  ..."minItems maxItems minLength maxLength format pattern minimum maximum exclusiveMinimum $defs".split(" "),
);
const schemaValue = fc.oneof(
  odd,
  fc.constantFrom('"object"', '"array"', '"string"', '"integer"', '"number"', '["string","null"]', '"#"'),
  fc.constantFrom('"#/$defs/a"', '{"a":{"$ref":"#/$defs/a"}}', '{"a":{}}', '[{"type":"string"}]', '["a"]'),
);
const objectText = (entries: readonly (readonly [string, string])[]): string =>
  `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(",")}}`;
const schema = fc.array(fc.tuple(keyword, schemaValue), { maxLength: 5 }).map(objectText);

const format = schema.map((text) => `{"type":"json_schema","json_schema":{"name":"a","schema":${text}}}`);
const tools = schema.map((text) => `[{"type":"function","function":{"name":"a","parameters":${text}}}]`);
const message = fc
  .array(
    fc.tuple(
      fc.constantFrom("role", "content", "name", "tool_calls", "tool_call_id", "refusal"),
      fc.oneof(
        odd,
        fc.constantFrom('"user"', '"assistant"', '"system"', '"tool"', '[{"type":"text","text":""}]'),
      ),
    ),
    { maxLength: 4 },
  )
  .map(objectText);
const messages = fc.array(message, { maxLength: 3 }).map((all) => `[${all.join(",")}]`);

const hostileField = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constantFrom(...FIELDS), odd) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("response_format"), format) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("tools"), tools) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("messages"), messages) },
  { weight: 1, arbitrary: fc.tuple(fc.string(), odd) },
);

const CHAT = '{"max_tokens":4,"messages":[{"role":"user","content":"hi"}]}';
const COMPLETION = '{"max_tokens":4,"prompt":"hi"}';

/** A fair request with few fields spoilt, so that what comes after the first check is reached too. */
const spoilt = (base: string) =>
  fc
    .array(hostileField, { minLength: 1, maxLength: 3 })
    .map((fields) => `${base.slice(0, -1)},${objectText(fields).slice(1)}`);

const truncated = fc
  .tuple(spoilt(CHAT), fc.double({ min: 0, max: 1, noNaN: true }))
  .map(([text, share]) => text.slice(0, Math.floor(text.length * share)));

/** Bodies as an enemy, or a program gone wrong, sends them. */
export const hostileRequest: fc.Arbitrary<HostileRequest> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ path: fc.constant("/v1/chat/completions"), body: spoilt(CHAT) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      path: fc.constant("/v1/completions"),
      body: spoilt(COMPLETION),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      path: fc.constantFrom("/v1/chat/completions", "/v1/completions"),
      body: fc.oneof(
        odd,
        truncated,
        fc.uint8Array({ maxLength: 200 }).map((bytes) => new Uint8Array(bytes)),
      ),
    }),
  },
);
