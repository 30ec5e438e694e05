"""What OpenAI's own client for Python gets from a gateway that wants a key.

The mesh runs a small random model, so it is the form of answers that counts here, and that one way of asking gives what
another gives. FLOWMESH_URL and FLOWMESH_KEY say where it is.
"""

import json
import os
import unittest

import openai

BASE_URL = os.environ["FLOWMESH_URL"] + "/v1"
MODEL = "default"
QUESTION = [{"role": "user", "content": "Why is the sky blue?"}]
CHAT = {"model": MODEL, "messages": QUESTION, "temperature": 0, "max_tokens": 12}
TEXT = {"model": MODEL, "prompt": "The sky is", "temperature": 0, "max_tokens": 12}
PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Paris", "Rome"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Tells the weather", "strict": True, "parameters": PARAMETERS},
}
WITH_TOOL = {
    **CHAT,
    "max_tokens": 80,
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
}
FORM = {"type": "json_schema", "json_schema": {"name": "trip", "strict": True, "schema": PARAMETERS}}


def connect(key):
    return openai.OpenAI(base_url=BASE_URL, api_key=key, max_retries=0, timeout=60)


client = connect(os.environ["FLOWMESH_KEY"])


class Models(unittest.TestCase):
    def test_are_listed_and_found(self):
        listed = list(client.models.list())
        self.assertEqual(len(listed), 1)
        self.assertEqual(client.models.retrieve(listed[0].id), listed[0])
        self.assertEqual(client.models.retrieve(MODEL).id, listed[0].id)
        with self.assertRaises(openai.NotFoundError):
            client.models.retrieve("gpt-17")


class Chat(unittest.TestCase):
    def test_is_the_same_whole_streamed_and_by_the_streaming_helper(self):
        whole = client.chat.completions.create(**CHAT)
        choice = whole.choices[0]
        self.assertIn(choice.finish_reason, ("stop", "length"))
        self.assertEqual(choice.message.role, "assistant")
        self.assertTrue(choice.message.content)
        self.assertTrue(whole.system_fingerprint)
        self.assertEqual(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens)

        chunks = list(client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True}))
        self.assertEqual(len({chunk.id for chunk in chunks}), 1)
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        text = "".join(one.delta.content or "" for chunk in chunks for one in chunk.choices)
        self.assertEqual(text, choice.message.content)
        self.assertEqual(chunks[-1].usage, whole.usage)
        self.assertEqual(chunks[-2].choices[0].finish_reason, choice.finish_reason)

        with client.chat.completions.stream(**CHAT, stream_options={"include_usage": True}) as stream:
            deltas = [event.delta for event in stream if event.type == "content.delta"]
            # get_final_completion takes no answer that its limit has cut.
            final = stream.current_completion_snapshot
        self.assertEqual("".join(deltas), choice.message.content)
        self.assertEqual(final.choices[0].message.content, choice.message.content)
        self.assertEqual(final.usage, whole.usage)

    def test_has_several_choices_seeds_and_stops(self):
        sampled = {**CHAT, "temperature": 1, "seed": 5}
        both = client.chat.completions.create(**sampled, n=2)
        self.assertEqual([choice.index for choice in both.choices], [0, 1])
        second = client.chat.completions.create(**{**sampled, "seed": 6})
        self.assertEqual(second.choices[0].message.content, both.choices[1].message.content)
        text = both.choices[0].message.content
        stop = text[len(text) // 2]
        cut = client.chat.completions.create(**sampled, stop=[stop])
        self.assertEqual(cut.choices[0].message.content, text[: text.index(stop)])
        self.assertEqual(cut.choices[0].finish_reason, "stop")

    def test_tells_logprobs(self):
        asked = {**CHAT, "logprobs": True, "top_logprobs": 3}
        told = client.chat.completions.create(**asked).choices[0].logprobs.content
        self.assertGreater(len(told), 0)
        for entry in told:
            self.assertLessEqual(entry.logprob, 0)
            self.assertEqual(len(entry.top_logprobs), 3)
            # Greedy: the token is the likeliest.
            self.assertEqual(entry.bytes, entry.top_logprobs[0].bytes)
        streamed = [
            entry
            for chunk in client.chat.completions.create(**asked, stream=True)
            for choice in chunk.choices
            if choice.logprobs
            for entry in choice.logprobs.content
        ]
        self.assertEqual(streamed, told)

    def test_calls_a_tool(self):
        choice = client.chat.completions.create(**WITH_TOOL).choices[0]
        self.assertEqual(choice.finish_reason, "tool_calls")
        (call,) = choice.message.tool_calls
        self.assertEqual(call.function.name, "get_weather")
        self.expect_fit(call.function.arguments)
        with client.chat.completions.stream(**WITH_TOOL) as stream:
            done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
            message = stream.get_final_completion().choices[0].message
        self.assertEqual([event.arguments for event in done], [call.function.arguments])
        self.assertEqual(message.tool_calls[0].function.arguments, call.function.arguments)
        self.assertEqual(message.tool_calls[0].function.parsed_arguments, json.loads(call.function.arguments))
        answer = [
            *QUESTION,
            choice.message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
        ]
        after = client.chat.completions.create(**{**CHAT, "messages": answer}, tools=[TOOL], tool_choice="none")
        self.assertIsNone(after.choices[0].message.tool_calls)

    def test_fits_a_response_format(self):
        asked = {**CHAT, "max_tokens": 80, "response_format": FORM}
        whole = client.chat.completions.create(**asked).choices[0]
        self.assertEqual(whole.finish_reason, "stop")
        self.expect_fit(whole.message.content)
        with client.chat.completions.stream(**asked) as stream:
            self.assertEqual(stream.get_final_completion().choices[0].message.content, whole.message.content)

    def expect_fit(self, text):
        value = json.loads(text)
        self.assertEqual(set(value), {"city", "days"})
        self.assertIn(value["city"], ("Paris", "Rome"))
        self.assertIn(value["days"], range(1, 10))


class Completions(unittest.TestCase):
    def test_are_the_same_whole_and_streamed(self):
        whole = client.completions.create(**TEXT, logprobs=2)
        choice = whole.choices[0]
        self.assertTrue(choice.text)
        self.assertEqual(len(choice.logprobs.tokens), len(choice.logprobs.token_logprobs))
        self.assertGreater(whole.usage.prompt_tokens, 0)
        streamed = client.completions.create(**TEXT, stream=True)
        self.assertEqual("".join(one.text for chunk in streamed for one in chunk.choices), choice.text)


class Errors(unittest.TestCase):
    def test_are_the_clients_own_classes(self):
        with self.assertRaises(openai.BadRequestError) as bad:
            client.chat.completions.create(**{**CHAT, "temperature": 3})
        self.assertEqual((bad.exception.param, bad.exception.code), ("temperature", "invalid_value"))
        self.assertTrue(bad.exception.request_id)
        with self.assertRaises(openai.BadRequestError) as unknown:
            client.chat.completions.create(**CHAT, extra_body={"unheard_of": 1})
        self.assertEqual(unknown.exception.code, "unknown_parameter")
        with self.assertRaises(openai.BadRequestError) as unsupported:
            client.chat.completions.create(**CHAT, reasoning_effort="high", stream=True)
        self.assertEqual(unsupported.exception.param, "reasoning_effort")
        with self.assertRaises(openai.NotFoundError):
            client.chat.completions.create(**{**CHAT, "model": "gpt-17"})

    def test_say_that_a_key_is_wrong(self):
        with self.assertRaises(openai.AuthenticationError) as wrong:
            connect("fm-wrong").models.list()
        self.assertEqual(wrong.exception.code, "invalid_api_key")


if __name__ == "__main__":
    unittest.main()
