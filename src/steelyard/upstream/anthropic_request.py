"""Asking Anthropic's Messages for what a chat asks: pure functions.

Source: Anthropic's API reference, Messages, Prompt caching.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

OUTPUT_TOKENS = 4096
"""How long an answer may become whose caller does not say: what the smallest of the models can."""

_PASSED = ("temperature", "top_p", "top_k", "stream")
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logprobs": (False,),
    "store": (False,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
}
"""What asks for nothing: values of parameters that a message has no counterpart of."""

_NULL = Raw(b"null")
_CHOICES = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}


class UntranslatableError(Exception):
    """A request that can't be made of a message. ``param`` is the caller's own word for it."""

    def __init__(self, *, param: str, says: str) -> None:
        super().__init__(says)
        self.param = param


class _Part(msgspec.Struct):
    type: str
    text: str = ""
    cache_control: Raw = _NULL


class _Function(msgspec.Struct):
    name: str
    arguments: str = "{}"
    description: str | None = None
    parameters: Raw = _NULL


class _Call(msgspec.Struct):
    function: _Function
    id: str = ""
    type: str = "function"


class _Said(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


class _Asked(msgspec.Struct):
    model: Raw
    messages: list[_Said]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    user: str | None = None
    tools: list[_Call] | None = None
    tool_choice: str | _Call | None = None
    parallel_tool_calls: bool | None = None


_READ = {*_Asked.__struct_fields__, "stream_options"}
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ASKED = msgspec.json.Decoder(_Asked)
_TABLE = msgspec.json.Decoder(dict[str, Raw])


def encode(body: bytes) -> bytes:
    """The body of a message that asks what a chat's does; numbers stay digit for digit.

    Raises: UntranslatableError, where a message can't ask for the same.
    """
    try:
        fields, asked = _FIELDS.decode(body), _ASKED.decode(body)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise UntranslatableError(param="messages", says=f"Not understood: {exc}.") from exc
    _check(fields)
    sent: dict[str, object] = {"model": asked.model}
    sent["max_tokens"] = asked.max_completion_tokens or asked.max_tokens or OUTPUT_TOKENS
    system = [block for said in asked.messages if _is_system(said) for block in _texts(said)]
    if system:
        sent["system"] = system
    sent["messages"] = [_turn(said) for said in asked.messages if not _is_system(said)]
    sent |= {name: fields[name] for name in _PASSED if not _is_null(fields.get(name))}
    if asked.stop:
        sent["stop_sequences"] = [asked.stop] if isinstance(asked.stop, str) else asked.stop
    if asked.user is not None:
        sent["metadata"] = {"user_id": asked.user}
    if asked.tools:
        sent["tools"] = [_tool(tool) for tool in asked.tools]
        sent["tool_choice"] = _choice(asked)
    return msgspec.json.encode(sent)


def _check(fields: Mapping[str, Raw]) -> None:
    for name, value in fields.items():
        if name in _READ or name in _PASSED or _is_null(value):
            continue
        if msgspec.json.decode(value) not in _NEUTRAL.get(name, ()):
            told = f"This model's upstream has nothing like {name!r}; leave it out."
            raise UntranslatableError(param=name, says=told)


def _is_null(value: Raw | None) -> bool:
    return value is None or bytes(value) == b"null"


def _is_system(said: _Said) -> bool:
    return said.role in {"system", "developer"}


def _turn(said: _Said) -> dict[str, object]:
    match said.role:
        case "user":
            return {"role": "user", "content": _texts(said)}
        case "assistant":
            calls = [_use(call) for call in said.tool_calls or ()]
            return {"role": "assistant", "content": [*_texts(said), *calls]}
        case "tool":
            result = {"type": "tool_result", "tool_use_id": said.tool_call_id}
            return {"role": "user", "content": [{**result, "content": _texts(said)}]}
        case _:
            raise UntranslatableError(
                param="messages", says=f"There is no role {said.role!r} here."
            )


def _texts(said: _Said) -> list[dict[str, object]]:
    """A message's texts; empty ones, which the upstream does not take, stay away."""
    if said.content is None or isinstance(said.content, str):
        return [{"type": "text", "text": said.content}] if said.content else []
    found: list[dict[str, object]] = []
    for part in said.content:
        if part.type != "text":
            told = f"Content of type {part.type!r} is not translated for this model's upstream."
            raise UntranslatableError(param="messages", says=told)
        marked = {} if _is_null(part.cache_control) else {"cache_control": part.cache_control}
        if part.text:
            found.append({"type": "text", "text": part.text, **marked})
    return found


def _use(call: _Call) -> dict[str, object]:
    """A call of a tool that the model made before."""
    try:
        given = _TABLE.decode(call.function.arguments or "{}")
    except (msgspec.DecodeError, RecursionError) as exc:
        told = f"The arguments of {call.function.name!r} are no JSON object."
        raise UntranslatableError(param="messages", says=told) from exc
    return {"type": "tool_use", "id": call.id, "name": call.function.name, "input": given}


def _tool(tool: _Call) -> dict[str, object]:
    if tool.type != "function":
        raise UntranslatableError(
            param="tools", says=f"Tools of type {tool.type!r} are not translated."
        )
    function = tool.function
    described = {} if function.description is None else {"description": function.description}
    schema: object = {"type": "object"} if _is_null(function.parameters) else function.parameters
    return {"name": function.name, **described, "input_schema": schema}


def _choice(asked: _Asked) -> dict[str, Any]:
    given = asked.tool_choice
    if isinstance(given, _Call):
        choice: dict[str, Any] = {"type": "tool", "name": given.function.name}
    elif given is None or given in _CHOICES:
        choice = dict(_CHOICES[given or "auto"])
    else:
        raise UntranslatableError(param="tool_choice", says=f"There is no choice {given!r}.")
    if asked.parallel_tool_calls is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return choice
