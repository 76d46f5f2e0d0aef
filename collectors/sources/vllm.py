"""vLLM's own metrics page, of any release from 0.5 on.

What a measure is called in which release is data (`data/vllm/`). Which series of a page make it is worked out by
`collectors/vllm/layout.py`, the pages are made by `collectors/vllm/page.py`.
"""

from collectors.base import CollectContext, Collector
from collectors.vllm.findings import Finding, FindingState, diagnose
from collectors.vllm.page import ALIASES, parse

__all__ = ["ALIASES", "COLLECTOR", "Finding", "FindingState", "diagnose", "fetch", "parse"]


async def fetch(ctx: CollectContext) -> bytes:
    response = await ctx.http.get_bytes(ctx.target.url, bearer_token=ctx.target.bearer_token)
    return response.body


COLLECTOR = Collector(key="vllm", label="vLLM", fetch=fetch, parse=parse)
