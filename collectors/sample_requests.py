"""The sample request log, data/demo/requests.jsonl: made up, the same every time. A test holds the file to this.

`python -m collectors.sample_requests > data/demo/requests.jsonl` writes it anew.
"""

import json
import sys
from collections.abc import Iterator
from random import Random
from typing import Any

REQUESTS_COUNT = 400
FROM_S = 1_794_301_200  # Tuesday 10 November 2026, 09:00 UTC
BYTES_PER_TOKEN = 4.3
SMALL, LARGE = "llama-3.1-8b", "llama-3.3-70b"
SHOP, DESK = "sample-shop", "sample-desk"
CAP_TOKENS = {SHOP: 300, DESK: 900}

_SYSTEM = {
    SHOP: (
        "You answer customers of a shop for bicycles. Be brief and friendly. Name the order number when it is known. "
        "Never promise a date; say where to look instead. Answer in the language of the customer."
    ),
    DESK: (
        "You help engineers of the same company. Show your reasoning, then the result. Quote the line of the manual "
        "that you rely on. If the manual is silent, say so and stop."
    ),
}
# Ways to ask the same, and what is answered.
_ASKED_OFTEN = (
    (
        ("How do I return a bike?", "How can I send a bike back?", "I want to return my bike, how does that work?"),
        "Open your order, choose Return, and print the label. Bring the bike to any of our shops or hand it to the "
        "carrier within thirty days; the money is back a week after it arrives.",
    ),
    (
        ("Where is my order {n}?", "What is the state of order {n}?"),
        "Your order {n} is on its way. The link in your confirmation shows where it is now.",
    ),
    (
        ("Do you repair bikes of other makers?", "Can I have a bike repaired that I did not buy from you?"),
        "Yes, our workshops repair bikes of every maker. Book a time under Workshop; bring the key of the lock.",
    ),
    (
        ("Which size of frame do I need at {h} cm?", "I am {h} cm tall, which frame fits me?"),
        "At {h} cm a frame of about {f} cm fits most riders. Try one in a shop: arms and legs differ.",
    ),
    (
        ("Can I pay by invoice?", "Is it possible to pay by invoice?", "Do you take payment by invoice?"),
        "Yes, up to 2,000 euros after your first order. Choose Invoice at the end; it is due in fourteen days.",
    ),
    (
        ("What does delivery cost?", "How much is shipping?"),
        "Parts are delivered for 5 euros, bikes for 39 euros, both free above 1,500 euros.",
    ),
)
_THEN = (
    "Thank you. And how long does that take?",
    "I did not find that button, where is it?",
    "Is that also so for the blue model?",
    "Could you send me that by mail?",
)
_ANSWERS = (
    "That usually takes two working days; the page of your order shows it as soon as it is known.",
    "It is at the top right of the page, beside your name. On a phone it is in the menu.",
    "Yes, that holds for every colour of that model.",
    "I have sent it to the address of your account.",
)
_HARD = (
    "Compare the brakes of model {a} and model {b} step by step: stopping distance, wear and weight. Give a table and "
    "explain which constraints decide. Must be exactly the figures of the manual.",
    "Why does this function drop the last order? Debug it.\n```\ndef total(orders):\n    s = 0\n    for n in "
    "range(len(orders) - 1):\n        s = s + orders[n].price * {a}\n    return s\n```",
    "Derive the torque of gear {a} at {b} watts and 90 turns a minute. Show the equation, and explain what is lost in "
    "the chain.",
    "Design a plan for stock of spare parts for {a} shops and {b} models: which must be held, which can be ordered? "
    "Analyse the trade-offs and return JSON.",
)


def sample_requests() -> Iterator[dict[str, Any]]:
    """Customers who ask the same things again, some of them in several turns, and engineers with harder ones."""
    rng, at_s = Random(41), FROM_S
    made: list[dict[str, Any]] = []
    while len(made) < REQUESTS_COUNT:
        at_s += rng.randrange(2, 25)
        made += _engineer(rng, at_s) if rng.random() < 0.2 else _customer(rng, at_s)
    yield from sorted(made[:REQUESTS_COUNT], key=lambda one: one["timestamp"])


def _customer(rng: Random, at_s: int) -> Iterator[dict[str, Any]]:
    ways, answer = _ASKED_OFTEN[rng.randrange(len(_ASKED_OFTEN))]
    height = 160 + 5 * rng.randrange(7)
    words = {"n": str(71_000 + rng.randrange(900)), "h": height, "f": round(height / 3.2)}
    messages = [{"role": "system", "content": _SYSTEM[SHOP]}]
    asked, said = ways[rng.randrange(len(ways))].format(**words), answer.format(**words)
    for turn in range(1 + (rng.random() < 0.4) + (rng.random() < 0.2)):
        messages.append({"role": "user", "content": asked})
        # One in ten is handed to the large model, as habits have it.
        yield _request(SHOP, LARGE if rng.random() < 0.1 else SMALL, at_s + 40 * turn, messages, said)
        messages.append({"role": "assistant", "content": said})
        then = rng.randrange(len(_THEN))
        asked, said = _THEN[then], _ANSWERS[then]


def _engineer(rng: Random, at_s: int) -> Iterator[dict[str, Any]]:
    asked = _HARD[rng.randrange(len(_HARD))].format(a=2 + rng.randrange(40), b=100 + rng.randrange(300))
    messages = [{"role": "system", "content": _SYSTEM[DESK]}, {"role": "user", "content": asked}]
    tokens = min(CAP_TOKENS[DESK], round(rng.lognormvariate(5.9, 0.5)))
    yield _request(DESK, LARGE if rng.random() < 0.9 else SMALL, at_s, messages, "", tokens)


def _request(
    tenant: str, model: str, at_s: int, messages: list[dict[str, str]], output: str, output_tokens: int = 0
) -> dict[str, Any]:
    """Long answers are known by their length alone, as in most logs."""
    prompt_tokens = round(sum(len(one["content"]) + 18 for one in messages) / BYTES_PER_TOKEN)
    output_tokens = output_tokens or round(len(output) / BYTES_PER_TOKEN)
    cap = CAP_TOKENS[tenant]
    return {
        "tenant": tenant,
        "model": model,
        "timestamp": at_s,
        "messages": list(messages),
        **({"output": output} if output else {}),
        "max_tokens": cap,
        "finish_reason": "length" if output_tokens >= cap else "stop",
        "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": output_tokens},
    }


def sample_log() -> str:
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in sample_requests())


if __name__ == "__main__":  # pytest imports every file that it looks for examples in
    sys.stdout.write(sample_log())
