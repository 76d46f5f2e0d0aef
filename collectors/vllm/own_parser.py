"""What vLLM's own parser says of a command, where vLLM is installed. It runs in a process of its own.

The table of options (data/vllm/flags.toml) knows names; the parser also knows types, allowed values and JSON. Whether
the model bears them is not asked: that would load its files. It knows one release only, the one installed. Its import
takes from ten seconds to a minute, and its place moves between releases.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

LIMIT_S = 300.0
LONGEST_CHARACTERS = 300
# Runs under the interpreter that has vLLM: commands in as JSON, one answer per command out, on the last line.
PROGRAM = """
import contextlib, io, json, sys
from importlib import import_module

def first(names, what):
    for name in names:
        with contextlib.suppress(ImportError, AttributeError):
            return getattr(import_module(name), what)
    raise ImportError("vLLM has its parser elsewhere: " + what)

make = first(
    ["vllm.entrypoints.common.cli_args", "vllm.entrypoints.launchers.cli_args", "vllm.entrypoints.openai.cli_args"],
    "make_arg_parser",
)
flexible = first(["vllm.utils.argparse_utils", "vllm.utils"], "FlexibleArgumentParser")
parser, answers = make(flexible(exit_on_error=True)), []
for words in json.load(sys.stdin):
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            parser.parse_args(words)
        answers.append("")
    except SystemExit:
        answers.append(said.getvalue().strip().splitlines()[-1] if said.getvalue().strip() else "refused")
    except Exception as error:
        answers.append(f"{type(error).__name__}: {error}")
import vllm
print()
print(json.dumps({"release": str(getattr(vllm, "__version__", "")), "answers": answers}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnParser:
    """`refusals` has one text per command, empty where the parser takes it. `unavailable` says why it was not asked."""

    release: str = ""
    refusals: tuple[str, ...] = ()
    unavailable: str = ""


def is_installed() -> bool:
    return find_spec("vllm") is not None


def ask(commands: Sequence[Sequence[str]], python: str = sys.executable) -> OwnParser:
    """Each command is the words from `vllm serve` on. Never raises: without an answer, `unavailable` says why."""
    quiet = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    try:
        done = subprocess.run(
            [python, "-c", PROGRAM],
            input=json.dumps([list(words[2:]) for words in commands]),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            env={**os.environ, **quiet},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return OwnParser(unavailable=f"vLLM's parser did not answer: {str(error)[:LONGEST_CHARACTERS]}")
    try:
        told = json.loads(done.stdout.strip().splitlines()[-1])
        release, answers = str(told["release"]), [str(answer)[:LONGEST_CHARACTERS] for answer in told["answers"]]
    except (IndexError, KeyError, TypeError, ValueError):
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return OwnParser(unavailable=f"vLLM's parser did not answer: {last[0][:LONGEST_CHARACTERS]}")
    return OwnParser(release=release, refusals=tuple(answers))
