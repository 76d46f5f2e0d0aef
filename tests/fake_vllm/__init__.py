"""A vLLM that is made up: it serves its metrics page in the words of a chosen release, and knows what it truly counted.

`load.py` is what an engine does, `releases.py` how a release tells it, `server.py` the processes of a server over time.
All are functions of time alone: the same moment gives the same page.
"""

from tests.fake_vllm.load import Load
from tests.fake_vllm.releases import RELEASES, Exposition, exported
from tests.fake_vllm.server import EPOCH, FakeVllm, Life, Rank

__all__ = ["EPOCH", "RELEASES", "Exposition", "FakeVllm", "Life", "Load", "Rank", "exported"]
