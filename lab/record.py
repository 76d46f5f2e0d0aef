"""One request of a log, in one shape whatever wrote it."""

from collections.abc import Sequence
from dataclasses import dataclass

SYSTEM_ROLES = ("system", "developer", "tools")
USER = "user"


@dataclass(slots=True, kw_only=True)
class Request:
    """A request that was sent, as far as the log tells; what it does not tell is None or empty.

    `messages` are (role, text) in order; a plain prompt is one of role "". `token_ids` replaces them where the log has
    a prompt as numbers. `parameters` are all settings that change answers, spelt out for a cache key.
    """

    model: str = ""
    tenant: str = ""
    messages: Sequence[tuple[str, str]] = ()
    token_ids: Sequence[int] = ()
    extra_key: str = ""  # cache salt, adapter, pictures: what vLLM hashes beside the tokens
    parameters: str = ""
    conversation: str = ""
    started_s: float | None = None  # unix seconds
    output: str | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    max_output_tokens: int | None = None
    finish_reason: str = ""
    is_unhappy: bool | None = None  # escalated, or bad feedback: what the log says of the answer

    @property
    def question(self) -> str:
        """The last that the user said, or the whole prompt; "" where the prompt is numbers."""
        said = [text for role, text in self.messages if role in (USER, "")]
        return said[-1] if said else (self.messages[-1][1] if self.messages else "")

    @property
    def turns_count(self) -> int:
        """How often the user has spoken, this request included; 1 for a plain prompt."""
        return max(1, sum(role == USER for role, _ in self.messages))

    @property
    def is_empty(self) -> bool:
        return not self.token_ids and not any(text for _, text in self.messages)


def rendered(messages: Sequence[tuple[str, str]]) -> str:
    """The prompt as one text, by a plain chat template: the next turn begins with this one and its answer.

    >>> rendered([("user", "hi")]), rendered([("", "hi")])
    ('<|user|>hi<|end|><|assistant|>', 'hi')
    """
    if len(messages) == 1 and not messages[0][0]:
        return messages[0][1]
    return "".join([*(f"<|{role}|>{text}<|end|>" for role, text in messages), "<|assistant|>"])
