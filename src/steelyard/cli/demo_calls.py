"""The demo's calls: the embedded model, through the official ``openai`` client."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

import click
from rich.console import Console

if TYPE_CHECKING:
    from openai import OpenAI

MODEL = "smollm2-135m-instruct"
QUESTION = "In one sentence: why do merchants weigh silver?"
STORY = "Tell a very short story about a merchant and his scales."


def call(console: Console, url: str, keys: dict[str, str]) -> None:
    """Ask the model as two customers, plain and streaming, and show the answers."""
    if importlib.util.find_spec("openai") is None:
        click.echo("the demo calls through the openai package: pip install openai", err=True)
        raise SystemExit(1)
    _plain(console, _client(url, keys["acme"]))
    _streaming(console, _client(url, keys["freelab"]))
    _embedding(console, _client(url, keys["bigcorp"]))


def _client(url: str, key: str) -> OpenAI:
    openai = importlib.import_module("openai")
    client: OpenAI = openai.OpenAI(base_url=url, api_key=key, max_retries=0)
    return client


def _plain(console: Console, client: OpenAI) -> None:
    console.print(f"[bold]acme[/bold] asks: {QUESTION}")
    answer = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": QUESTION}], max_tokens=48, seed=7
    )
    console.print(f"  {answer.choices[0].message.content}", style="green", markup=False)
    usage = answer.usage
    assert usage is not None
    console.print(f"[dim]  {usage.prompt_tokens} tokens in, {usage.completion_tokens} out[/dim]")


def _streaming(console: Console, client: OpenAI) -> None:
    console.print(f"[bold]freelab[/bold] asks, streaming: {STORY}")
    console.print("  ", end="")
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": STORY}],
        max_tokens=80,
        seed=7,
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        for choice in chunk.choices:
            console.print(choice.delta.content or "", style="green", markup=False, end="")
        if chunk.usage is not None:
            console.print(
                f"\n[dim]  {chunk.usage.prompt_tokens} tokens in, "
                f"{chunk.usage.completion_tokens} out[/dim]"
            )


def _embedding(console: Console, client: OpenAI) -> None:
    console.print("[bold]bigcorp[/bold] asks for an embedding of “silver”")
    answer = client.embeddings.create(model=MODEL, input="silver")
    console.print(
        f"[dim]  {len(answer.data[0].embedding)} dimensions, "
        f"{answer.usage.prompt_tokens} tokens in[/dim]"
    )
