"""Where a calibration holds: what was seen when it was made, and what to call an answer from outside of that."""

from dataclasses import dataclass

from costlib.estimate import Basis

# domain_math §13 and §10.
MOST_EXTRAPOLATION_RATIO = 1.5
MOST_MIX_SHIFT_RATIO = 1.3
LEAST_HOURS = 24.0
LEAST_REQUESTS = 2000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What an answer is, and why it is no better."""

    basis: Basis
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """Ranges from the 1st to the 99th percentile of the busy windows, and how much was observed altogether."""

    least_batch_count: float
    most_batch_count: float
    least_context_tokens: float
    most_context_tokens: float
    least_input_per_output_ratio: float  # computed prompt tokens
    most_input_per_output_ratio: float
    observed_hours: float
    requests_count: float | None

    @property
    def indicative(self) -> str:
        """Why a calibration on so little is a hint only; empty where it was enough."""
        found = []
        if self.observed_hours < LEAST_HOURS:
            found.append(f"{self.observed_hours:.1f} h were observed; {LEAST_HOURS:.0f} h show a whole day")
        if self.requests_count is not None and self.requests_count < LEAST_REQUESTS:
            found.append(f"{self.requests_count:,.0f} requests were seen, of the {LEAST_REQUESTS:,.0f} needed")
        return "; ".join(found)

    def label(
        self,
        *,
        batch_count: float | None = None,
        context_tokens: float | None = None,
        input_per_output_ratio: float | None = None,
    ) -> Label:
        """How an answer at this operating point is known; what is not given is not looked at.

        Equation   calibrated inside [least, 1.5 most] of batch, [least / 1.5, 1.5 most] of context and
                   [least / 1.3, 1.3 most] of input per output; else extrapolated
        Returns    a Label
        Source     domain_math §13
        Example    seen at batches of 8 to 40
        >>> seen = Validity(
        ...     least_batch_count=8, most_batch_count=40, least_context_tokens=900, most_context_tokens=1500,
        ...     least_input_per_output_ratio=4, most_input_per_output_ratio=5, observed_hours=48, requests_count=9e4,
        ... )
        >>> seen.label(batch_count=60).basis.value, seen.label(batch_count=61).reason
        ('calibrated', 'batch 61 is outside 8 to 40, where it was calibrated')
        """
        ranges = (
            ("batch", batch_count, self.least_batch_count, self.most_batch_count, 1.0, MOST_EXTRAPOLATION_RATIO),
            (
                *("context of", context_tokens, self.least_context_tokens, self.most_context_tokens),
                *(MOST_EXTRAPOLATION_RATIO, MOST_EXTRAPOLATION_RATIO),
            ),
            (
                *("input per output of", input_per_output_ratio),
                *(self.least_input_per_output_ratio, self.most_input_per_output_ratio),
                *(MOST_MIX_SHIFT_RATIO, MOST_MIX_SHIFT_RATIO),
            ),
        )
        outside = [
            f"{name} {_text(value)} is outside {_text(least)} to {_text(most)}, where it was calibrated"
            for name, value, least, most, below, above in ranges
            if value is not None and not least / below <= value <= most * above
        ]
        if outside:
            return Label(basis=Basis.EXTRAPOLATED, reason="; ".join(outside))
        return Label(basis=Basis.CALIBRATED, reason=f"indicative: {self.indicative}" if self.indicative else "")


def _text(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")
