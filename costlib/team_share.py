"""Who asked for the tokens: the gateway's count of each team, beside the servers' count of all."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from costlib.books import NO_TEAM, Bucket, ServerUse, TeamUse

TOKEN_BUCKETS = (Bucket.INPUT, Bucket.CACHED_INPUT, Bucket.OUTPUT)
TeamWeights = Mapping[tuple[str, Bucket], Mapping[str, int]]  # tokens by team, of a model and class


def tokens_of_servers(servers: Iterable[ServerUse]) -> dict[tuple[str, Bucket], int]:
    """Tokens by model and class; a class that no server exports is absent."""
    counted: dict[tuple[str, Bucket], int] = defaultdict(int)
    for use in servers:
        classes = (use.computed_prompt_tokens, use.cached_prompt_tokens, use.generation_tokens)
        for bucket, tokens in zip(TOKEN_BUCKETS, classes, strict=True):
            if tokens is not None:
                counted[use.model_key, bucket] += tokens
    return dict(counted)


def team_weights(teams: Iterable[TeamUse], servers: Iterable[ServerUse]) -> TeamWeights:
    """Tokens by team, of each model and class that a gateway counted; what passed by the gateway is nobody's.

    >>> use = TeamUse(model_key="m", team="search", output_tokens=60)
    >>> server = ServerUse(target_key="t", deployment_key="d", model_key="m", generation_tokens=100)
    >>> dict(team_weights([use], [server])["m", Bucket.OUTPUT])
    {'search': 60, '': 40}
    """
    asked: dict[tuple[str, Bucket], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for use in teams:
        for bucket, tokens in zip(
            TOKEN_BUCKETS, (use.input_tokens, use.cached_input_tokens, use.output_tokens), strict=True
        ):
            if tokens:
                asked[use.model_key, bucket][use.team] += tokens
    served = tokens_of_servers(servers)
    for key, by_team in asked.items():
        passed_by = served.get(key, 0) - sum(by_team.values())
        if passed_by > 0:
            by_team[NO_TEAM] += passed_by
    return {key: dict(by_team) for key, by_team in asked.items()}
