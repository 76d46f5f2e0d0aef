"""What a server says of itself besides its metrics, and that nothing it says can break us."""

import asyncio
import json

import pytest

from collectors.base import FetchFailed, Target
from collectors.server_info import ServerInfo, server_info

TARGET = Target(key="gpu-1", url="http://gpu-1:8000/metrics?x=1", bearer_token="t")


class Answers:
    def __init__(self, **bodies):
        self.bodies, self.asked = bodies, []

    async def get_bytes(self, url, *, bearer_token=None):
        self.asked.append((url, bearer_token))
        body = self.bodies.get(url.rpartition("/")[2])
        if body is None:
            raise FetchFailed("not_found", url)
        return type("Response", (), {"body": body if isinstance(body, bytes) else json.dumps(body).encode()})


def asked(**bodies):
    return asyncio.run(server_info(Answers(**bodies), TARGET))


def test_release_and_context_of_each_model():
    models = {"data": [{"id": "llama", "max_model_len": 8192}, {"id": "gateway-model"}]}
    assert asked(version={"version": "0.32.0"}, models=models) == ServerInfo(
        version="0.32.0", max_model_len={"llama": 8192, "gateway-model": None}
    )


def test_only_what_is_served_to_everyone_is_asked_for():
    answers = Answers()
    asyncio.run(server_info(answers, TARGET))
    assert answers.asked == [("http://gpu-1:8000/version", "t"), ("http://gpu-1:8000/v1/models", "t")]


@pytest.mark.parametrize(
    "body", [b"<html>", b"\xff", [], {"version": 7, "data": "x"}, {"data": [1, {"id": None}]}, b"[" * 100_000, None]
)
def test_what_is_not_answered_is_not_known(body):
    assert asked(version=body, models=body) == ServerInfo()
