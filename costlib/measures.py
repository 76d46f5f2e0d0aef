"""What is measured of an engine, by one name each; `data/vllm/` maps every vLLM spelling to one of them.

Names end in their unit (docs/glossary.md). A counter only grows, a gauge is a level, a histogram counts observations in
buckets. A measure that a server does not export is absent, never zero.
"""

# How many places of a draft have an acceptance counter of their own; the total over all places is always kept.
POSITIONS_COUNT = 16

REQUEST_OUTCOMES = ("stop", "length", "abort", "error", "repetition")
ACCEPTED_AT = tuple(f"accepted_at_{place:02d}_tokens" for place in range(POSITIONS_COUNT))

COUNTERS = (
    # Tokens. The prompt counts whole: computed + cached.
    "prompt_tokens",
    "computed_prompt_tokens",
    "cached_prompt_tokens",
    "generation_tokens",
    # Finished requests, by why they finished, and the tokens of those alone.
    *(f"requests_{outcome}_count" for outcome in REQUEST_OUTCOMES),
    "finished_prompt_tokens",
    "finished_generation_tokens",
    # The prefix cache, in tokens looked up and found; those found outside the GPU.
    "prefix_queries_tokens",
    "prefix_hits_tokens",
    "external_hits_tokens",
    # The scheduler: engine steps, the tokens they worked on, requests put back.
    "steps_count",
    "step_tokens",
    "preemptions_count",
    # Residence of finished requests, summed: not GPU time.
    "queue_s",
    "prefill_s",
    "decode_s",
    "inference_s",
    # Speculation.
    "drafts_count",
    "draft_tokens",
    "accepted_tokens",
    *ACCEPTED_AT,
    # vLLM's own estimate of the work of one GPU.
    "estimated_flop",
    "estimated_read_bytes",
    "estimated_write_bytes",
)

GAUGES = (
    "running_count",
    "waiting_count",
    "waiting_capacity_count",  # for room in the batch or the KV cache
    "waiting_deferred_count",  # for something else: an adapter, a transfer, a grammar
    "kv_usage_fraction",
    "awake_fraction",  # 1, or 0 while the engine sleeps
)
# Of several engines these are averaged; every other gauge is summed.
MEAN_GAUGES = ("kv_usage_fraction", "awake_fraction")

HISTOGRAMS = ("ttft_s", "tpot_s", "itl_s", "e2e_s")
