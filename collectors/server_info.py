"""What a vLLM server says of itself besides its metrics: its release, and how long a context each model takes.

Only what it serves without being asked for more: `/version` and `/v1/models`. `/server_info`, which a server in
development mode has, lists its environment and is never asked for.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from collectors.addresses import checked_url
from collectors.base import Http, ScrapeFailure, Target

TEXT_CHARS_COUNT = 200
MODELS_COUNT_LIMIT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """`version` is None where the server does not tell; `max_model_len` [tokens] by the name a model is served as."""

    version: str | None = None
    max_model_len: Mapping[str, int | None] = field(default_factory=dict)


async def server_info(http: Http, target: Target) -> ServerInfo:
    """Asks the server behind the metrics page of `target`. What it does not answer is not known; that is no failure."""
    base = checked_url(target.url).with_query(None)
    version = (await _json(http, str(base.with_path("/version")), target)).get("version")
    listed = (await _json(http, str(base.with_path("/v1/models")), target)).get("data")
    models = {}
    for row in listed[:MODELS_COUNT_LIMIT] if isinstance(listed, list) else ():
        if isinstance(row, dict) and isinstance(row.get("id"), str):
            most = row.get("max_model_len")
            models[row["id"][:TEXT_CHARS_COUNT]] = most if isinstance(most, int) and most > 0 else None
    return ServerInfo(
        version=version[:TEXT_CHARS_COUNT] if isinstance(version, str) else None,
        max_model_len=models,
    )


async def _json(http: Http, url: str, target: Target) -> Mapping[str, Any]:
    """The JSON object behind `url`, empty when there is none."""
    try:
        response = await http.get_bytes(url, bearer_token=target.bearer_token)
        said = json.loads(response.body)
    except (ScrapeFailure, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
