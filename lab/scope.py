"""What two requests must have in common before one may be given the other's answer."""

from lab.readers.base import key_of
from lab.record import Request


def scope_of(request: Request) -> str:
    """A key of tenant, model, settings, and of all that was said before the last question.

    Without it an answer leaks from one tenant to another, and a crafted request can plant one for others.
    """
    before = request.messages[:-1]
    return key_of(
        request.tenant, request.model, request.parameters, request.extra_key, *(f"{r}\0{text}" for r, text in before)
    )


def exact_key_of(request: Request) -> str:
    """The same with the question itself, word for word."""
    last = request.messages[-1] if request.messages else ("", str(list(request.token_ids)))
    return key_of(scope_of(request), *last)
