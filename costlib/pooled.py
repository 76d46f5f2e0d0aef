"""The work of several deployments on one model, as one stream of requests."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from costlib.errors import DomainError
from costlib.scenario import Deployment
from costlib.workload import Workload


def together(deployments: Sequence[Deployment]) -> Workload:
    """The work of several deployments as one: rates add up, lengths are means by request, peaks come at once.

    Raises     DomainError where none of them has requests
    """
    works = [one.workload for one in deployments]
    rate = sum(work.requests_per_s for work in works)
    if not rate:
        raise DomainError("nothing is asked of these deployments: there is no work to put together.")

    def mean(of: Callable[[Workload], float]) -> float:
        return sum(work.requests_per_s * of(work) for work in works) / rate

    return replace(
        works[0],
        requests_per_s=rate,
        mean_prompt_tokens=mean(lambda work: work.mean_prompt_tokens),
        mean_output_tokens=mean(lambda work: work.mean_output_tokens),
        peak_to_mean_ratio=mean(lambda work: work.peak_to_mean_ratio),
        output_cv_ratio=max(work.output_cv_ratio for work in works),
    )
