"""The verbs `plan` and `flags`: what to change, in which order, and the vLLM command that says it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from collectors.terminal import Json, show
from collectors.vllm.own_parser import OwnParser, ask, is_installed
from costlib.compare import compare
from costlib.errors import ConfigError, UnknownKey
from costlib.flag_translation import Translation, translate
from costlib.flags import Command, Served, commands, container_yaml
from costlib.lever import Values
from costlib.plan import plan_to
from costlib.plan_text import plan_text
from costlib.scenario_file import ScenarioFile
from store.catalog_files import load_scenario
from store.engine import utc_now
from store.vllm_flags import load_flag_table

Vllm = Annotated[str, typer.Option("--vllm", metavar="RELEASE", help="Such as 0.33.0; the checked one if left out.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What `permillion flags SCENARIO` finds."""

    release: str
    served: tuple[Served, ...]
    own_parser: OwnParser


def plan(
    scenario: Annotated[Path, typer.Argument(help="A scenario file; evaluations in its [levers] count as evidence.")],
    target: Annotated[float, typer.Option(help="USD per million tokens, input + output.")],
    deployment: Annotated[str, typer.Option(help="Only this one; the whole scenario if left out.")] = "",
    without: Annotated[list[str] | None, typer.Option(metavar="LEVER", help="Leave a lever out. Repeatable.")] = None,
    proven: Annotated[bool, typer.Option("--proven", help="No lever that changes answers without evaluation.")] = False,
    vllm: Vllm = "",
    as_json: Json = False,
) -> None:
    """From today to USD per million tokens: which levers, in which order, and what each takes. Exit code 1: missed."""
    file = load_scenario(scenario, utc_now().date())
    today = file.today
    if deployment:
        known = {item.key: item for item in today.deployments}
        if deployment not in known:
            raise UnknownKey("deployment", deployment, known, scenario.name)
        today = replace(today, deployments=(known[deployment],))
    found = plan_to(
        target, today, file.catalog, load_flag_table().at(vllm), _evaluated(file), without or (), is_proven_only=proven
    )
    show(as_json, found, lambda: plan_text(found))
    raise typer.Exit(int(bool(found.unreachable)))


def _evaluated(file: ScenarioFile) -> Mapping[str, Values]:
    return dict(file.levers)


def flags(
    scenario: Annotated[Path | None, typer.Argument(help="A scenario file.")] = None,
    translated: Annotated[str, typer.Option("--translate", metavar="LINE", help="An old command or LLM(…) call.")] = "",
    vllm: Vllm = "",
    kubernetes: Annotated[bool, typer.Option("--kubernetes", help="The container of each pod, too.")] = False,
    own_parser: Annotated[bool, typer.Option(help="Ask the parser of an installed vLLM as well.")] = True,
    as_json: Json = False,
) -> None:
    """The `vllm serve` command of each deployment, today and with the levers; or an old line as it is written now."""
    if (scenario is None) == (not translated):
        raise ConfigError("give either a scenario file or --translate LINE.")
    release = load_flag_table().at(vllm)
    if scenario is None:
        line = translate(translated, release)
        asked = _own_parser([line.words], own_parser)
        show(as_json, {"translation": line, "own_parser": asked}, lambda: translation_text(line, asked))
        return
    file = load_scenario(scenario, utc_now().date())
    after = compare(file.today, dict(file.levers), file.catalog).changed
    served = commands(file.today, after, file.catalog, release)
    told = _own_parser([one.words for one in _all(served)], own_parser)
    found = Flags(release=release.name, served=served, own_parser=told)
    show(as_json, found, lambda: flags_text(found, kubernetes))


def _own_parser(lines: list[tuple[str, ...]], is_wanted: bool) -> OwnParser:
    if not is_wanted:
        return OwnParser(unavailable="not asked")
    if not is_installed():
        return OwnParser(unavailable="no vLLM is installed here: checked against the table of options only")
    return ask(lines)


def _all(served: Iterable[Served]) -> Iterator[Command]:
    yield from (one for item in served for one in (item.today, item.scenario) if one is not None)


def flags_text(found: Flags, kubernetes: bool = False) -> str:
    return "\n".join(_flag_lines(found, kubernetes))


def _flag_lines(found: Flags, kubernetes: bool) -> Iterator[str]:
    refused = dict(zip(_all(found.served), found.own_parser.refusals, strict=False))
    for item in found.served:
        yield f"{item.deployment_key}, vLLM {found.release}"
        if item.why:
            yield f"  {item.why}"
        for name, one in (("today", item.today), ("scenario", item.scenario)):
            if one is None or (one is item.scenario and not item.changes):
                continue
            yield f"  {name}:"
            yield from (f"    {line}" for line in one.line.splitlines())
            yield from (f"    missing: {text}" for text in one.missing)
            yield from (f"    note: {text}" for text in one.notes)
            if refused.get(one):
                yield f"    vLLM {found.own_parser.release} refuses it: {refused[one]}"
        if item.today and item.scenario:
            yield "  changes:" if item.changes else "  the scenario changes no option"
            yield from (f"    {change.text}" for change in item.changes)
        if kubernetes and item.scenario:
            yield "  container:"
            yield from (f"    {line}" for line in container_yaml(item.scenario).splitlines())
        yield ""
    yield _asked(found.own_parser)


def _asked(told: OwnParser) -> str:
    if told.unavailable:
        return told.unavailable
    refusals = sum(map(bool, told.refusals))
    return f"the parser of vLLM {told.release} takes {len(told.refusals) - refusals} of {len(told.refusals)} commands"


def translation_text(line: Translation, told: OwnParser) -> str:
    rows = [f"  {row.given}\n    {row.fate}{_becomes(row.becomes, row.given)}{_why(row.why)}" for row in line.options]
    refused = [f"vLLM {told.release} refuses it: {why}" for why in told.refusals if why]
    return "\n".join([f"vLLM {line.release}:", line.line, "", *rows, "", *refused, _asked(told)])


def _becomes(becomes: str, given: str) -> str:
    return f": {becomes}" if becomes and becomes != given else ""


def _why(why: Any) -> str:
    return f" ({why})" if why else ""
