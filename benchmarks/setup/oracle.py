# pyright: basic, reportMissingImports=false
"""Run where LiteLLM and genai-prices are installed: what both list and charge for some usages.

Reads nothing but JSON lines from its input, one usage each; the first line it writes says what the
models cost by each list, the others what each usage costs by each calculator, null where it fails.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

from genai_prices import Usage, calc_price
from genai_prices.data import providers
from litellm import cost_calculator, model_cost
from litellm.types.utils import (
    CompletionTokensDetailsWrapper,
    PromptTokensDetailsWrapper,
)
from litellm.types.utils import Usage as LiteUsage

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
PROVIDERS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "gemini",
    "deepseek": "deepseek",
    "mistral": "mistral",
    "x-ai": "xai",
    "moonshotai": "moonshot",
    "minimax": "minimax",
    "zai": "zai",
    "groq": "groq",
}
FIELDS = {
    "input_cost_per_token": "input_tokens",
    "cache_read_input_token_cost": "cached_input_tokens",
    "cache_creation_input_token_cost": "cache_write_tokens",
    "output_cost_per_token": "output_tokens",
    "output_cost_per_reasoning_token": "reasoning_tokens",
}
THEIRS = {
    "input_mtok": "input_tokens",
    "cache_read_mtok": "cached_input_tokens",
    "cache_write_mtok": "cache_write_tokens",
    "output_mtok": "output_tokens",
}
ABOVE = re.compile(r"(.+)_above_(\d+)k_tokens")


def lite_list(entry: dict[str, object]) -> dict[str, dict[str, str]]:
    """Prices of one token by the length from which they hold, and by meter."""
    found: dict[int, dict[str, str]] = {0: {}}
    for name, price in entry.items():
        match = ABOVE.fullmatch(name)
        field, above = (match[1], int(match[2]) * 1000) if match else (name, 0)
        if field in FIELDS and price is not None:
            found.setdefault(above, {})[FIELDS[field]] = str(Decimal(repr(price)))
    return {str(above): prices for above, prices in sorted(found.items())}


def genai_list(provider: str, model: str) -> dict[str, dict[str, str]]:
    """The same by genai-prices."""
    some = Usage(input_tokens=1)
    price = calc_price(some, model, provider_id=provider, genai_request_timestamp=AT)
    found: dict[int, dict[str, str]] = {0: {}}
    for name, meter in THEIRS.items():
        each = getattr(price.model_price, name, None)
        if each is None:
            continue
        found[0][meter] = str(Decimal(getattr(each, "base", each)) / 10**6)
        for tier in getattr(each, "tiers", ()):
            found.setdefault(tier.start, {})[meter] = str(Decimal(tier.price) / 10**6)
    return {str(above): prices for above, prices in sorted(found.items())}


def shared() -> dict[str, dict[str, object]]:
    """The models that both list, by genai-prices' name of provider and model."""
    found: dict[str, dict[str, object]] = {}
    for provider in providers:
        theirs = PROVIDERS.get(provider.id)
        for model in provider.models if theirs else ():
            for key in (f"{theirs}/{model.id}", model.id):
                entry = model_cost.get(key) or {}
                chats = entry.get("mode") in {"chat", "responses"}
                priced = bool(entry.get("input_cost_per_token"))
                if entry.get("litellm_provider") == theirs and priced and chats:
                    found[f"{provider.id} {model.id}"] = {
                        "key": key,
                        "litellm": lite_list(entry),
                        "genai": genai_list(provider.id, model.id),
                    }
                    break
    return found


def lite(key: str, provider: str, usage: dict[str, int]) -> str:
    """What LiteLLM charges."""
    told = LiteUsage(
        prompt_tokens=usage["prompt"],
        completion_tokens=usage["completion"],
        total_tokens=usage["prompt"] + usage["completion"],
        prompt_tokens_details=PromptTokensDetailsWrapper(cached_tokens=usage["cached"]),
        completion_tokens_details=CompletionTokensDetailsWrapper(
            reasoning_tokens=usage["reasoning"]
        ),
        cache_read_input_tokens=usage["cached"],
        cache_creation_input_tokens=usage["written"],
    )
    asked, answered = cost_calculator.cost_per_token(
        model=key, custom_llm_provider=PROVIDERS[provider], usage_object=told
    )
    return str(Decimal(repr(asked)) + Decimal(repr(answered)))


def genai(provider: str, model: str, usage: dict[str, int]) -> str:
    """What genai-prices charges."""
    told = Usage(
        input_tokens=usage["prompt"],
        cache_read_tokens=usage["cached"],
        cache_write_tokens=usage["written"],
        output_tokens=usage["completion"],
    )
    found = calc_price(told, model, provider_id=provider, genai_request_timestamp=AT)
    return str(found.total_price)


def attempt(function: Callable[..., str], *arguments: object) -> tuple[str | None, str | None]:
    """What a calculator says, or why it does not."""
    try:
        return function(*arguments), None
    except (LookupError, ValueError) as exc:
        return None, f"{type(exc).__name__}: {exc}"[:200]


def main() -> None:
    """List, then charge line by line."""
    known = shared()
    print(json.dumps(known), flush=True)
    for line in sys.stdin:
        usage = json.loads(line)
        provider, _, model = usage["model"].partition(" ")
        told = {
            "litellm": attempt(lite, known[usage["model"]]["key"], provider, usage),
            "genai": attempt(genai, provider, model, usage),
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
