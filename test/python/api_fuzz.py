"""How schemathesis sends requests to a gateway, and what it looks at beside its own checks.

Loaded by schemathesis itself, named in schemathesis.toml. The gateway answers gibberish, so answers are kept short, and
most requests name the model that is there: otherwise hardly one would come past the first checks.
"""

import json

import schemathesis

TOKENS_MAX = 6


@schemathesis.hook
def before_call(context, case, kwargs):
    body = case.body
    if not isinstance(body, dict):
        return
    # Only valid values are replaced, and by valid ones: what makes a request wrong stays in it.
    if isinstance(body.get("model"), str) and len(body["model"]) % 4 != 3:
        body["model"] = "default"
    if "max_tokens" not in body:
        body["max_tokens"] = TOKENS_MAX
    for field in ("max_tokens", "max_completion_tokens"):
        value = body.get(field)
        if isinstance(value, int) and TOKENS_MAX < value <= 2**53 - 1:
            body[field] = TOKENS_MAX


@schemathesis.check
def ends_whole(ctx, response, case):
    """An answer's stream ends with [DONE] or with an error of the client's, not with silence or one of the server's."""
    is_stream = "text/event-stream" in "".join(response.headers.get("content-type", []))
    if not is_stream or case.path == "/live":
        return
    events = [event for event in response.text.split("\n\n") if event.startswith("data: ")]
    last = events[-1].removeprefix("data: ") if events else "nothing"
    if last == "[DONE]":
        return
    error = json.loads(last).get("error") if last.startswith("{") else None
    assert error is not None, f"the stream broke off after {last}"
    assert error["type"] != "server_error", f"the stream ended with {last}"
