"""The verb `lab`: what caches, routers and shorter prompts would find in a log of requests."""

from pathlib import Path
from typing import Annotated

import typer

from collectors.terminal import Json, interrupted, overwrite, show
from costlib.errors import Cancelled, ConfigError
from costlib.kvcache import BLOCK_TOKENS, kv_bytes_per_token
from costlib.units import GIBI, seconds_from
from lab.answer_cache import SECONDS_KEPT
from lab.report import DEFAULT_THRESHOLD, LARGE_USD_PER_MTOK, SMALL_USD_PER_MTOK, LabOptions, examined
from lab.text import report_text
from store.catalog_files import load_catalog

_STOPPED = "stopped; nothing of the log is kept"


def lab(
    log: Annotated[Path, typer.Argument(help="JSON lines of LiteLLM, OpenAI style or plain; .gz too.")],
    format_key: Annotated[str, typer.Option("--format", help="Force a format; recognised if left out.")] = "",
    block_size: Annotated[int, typer.Option(help="Tokens a block, as vLLM's --block-size.")] = BLOCK_TOKENS,
    cache_tokens: Annotated[int | None, typer.Option(help="KV cache of each model, in tokens.")] = None,
    cache_gib: Annotated[float | None, typer.Option(help="The same in GiB; needs --model.")] = None,
    model: Annotated[str, typer.Option(help="A model of the catalogue, whose KV cache is sized.")] = "",
    tokenizer: Annotated[Path | None, typer.Option(help="The model's tokenizer.json.")] = None,
    bytes_per_token: Annotated[float | None, typer.Option(help="Where there is no tokenizer.")] = None,
    embedder: Annotated[str, typer.Option(help="minilm, lexical, or the folder of a model.")] = "",
    threshold: Annotated[float, typer.Option(help="Of the semantic cache: cosine.")] = DEFAULT_THRESHOLD,
    ttl: Annotated[
        float | None, typer.Option(parser=seconds_from, metavar="TIME", help="Life of a cached answer; 1h if left out.")
    ] = None,
    semantic: Annotated[bool, typer.Option(help="Compare questions by meaning, which takes longest.")] = True,
    small_usd: Annotated[float, typer.Option(help="USD per million tokens of a small model.")] = SMALL_USD_PER_MTOK,
    large_usd: Annotated[float, typer.Option(help="The same of the large one.")] = LARGE_USD_PER_MTOK,
    large_model: Annotated[list[str] | None, typer.Option(help="A model of the log that is large. Repeatable.")] = None,
    show_text: Annotated[bool, typer.Option("--show-text", help="Print the text that repeats.")] = False,
    as_json: Json = False,
) -> None:
    """Measure hit rates, routing shares and repeated text on requests. Prompts are read, never stored or sent."""
    options = LabOptions(
        format_key=format_key,
        block_tokens=block_size,
        cache_tokens=_cache_tokens(cache_tokens, cache_gib, model),
        tokenizer=tokenizer,
        bytes_per_token=bytes_per_token,
        embedder=embedder,
        threshold=threshold,
        ttl_s=SECONDS_KEPT if ttl is None else ttl,
        is_semantic_wanted=semantic,
        small_usd_per_mtok=small_usd,
        large_usd_per_mtok=large_usd,
        large_models=tuple(large_model or ()),
        show_text=show_text,
    )
    try:
        with interrupted() as cancelled:
            found = examined(log, options, _progress, cancelled)
    except Cancelled:
        overwrite("")
        typer.echo(_STOPPED, err=True)
        raise typer.Exit(1) from None
    overwrite("")
    show(as_json, found, lambda: report_text(found))


def _cache_tokens(tokens: int | None, gib: float | None, model: str) -> int | None:
    if gib is None:
        return tokens
    if tokens is not None:
        raise ConfigError("give either --cache-tokens or --cache-gib, not both.")
    if not model:
        raise ConfigError("--cache-gib needs --model KEY, which says how many bytes a token takes.")
    if not gib > 0:
        raise ConfigError(f"--cache-gib is above 0, not {gib:g}.")
    per_token = kv_bytes_per_token(load_catalog().model(model))
    if not per_token:
        raise ConfigError(f"{model} keeps no KV cache that grows with tokens; give --cache-tokens.")
    return int(gib * GIBI / per_token)


def _progress(name: str, lines: int, fraction: float) -> None:
    overwrite(f"{name}: {lines:,} lines, {fraction:.0%}")
