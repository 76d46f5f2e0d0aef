"""Prompts of a steered length in the server's own tokens, each unlike the others unless sharing is asked for."""

from dataclasses import dataclass
from random import Random

from collectors.bench.lengths import Lengths, correlated_pair
from costlib.estimate import Undefined

# Ordinary words without meaning together. Random order makes each prompt new to a prefix cache within a few tokens.
_WORDS = """
    able acid arm army away baby back ball band bank base bath bear beat bell belt best bird blow blue boat body bone
    book born both bowl box boy bread brick bridge brief broad brown brush build burn bus busy cake call calm camp car
    card care case cat cause cent chain chair chalk chance cheap chief child city clean clear clock close cloth cloud
    coal coat cold cook cool copper copy cord corn cost cotton cough count cover cow credit crime crop cruel cup curve
    dark day dead dear deep desk dirt dog door doubt drain dress drink drive drop dry dust ear early earth east edge
    egg end engine even event exit eye face fact fall false family far farm fat father fear fence field fight finger
    fire first fish flag flat floor flower fly fold food foot force fork form forward fowl frame free friend front
    fruit full garden gas girl glass glove goat gold good grain grass great green grey grip group guide gun hair hand
    harbour hard harmony hat head heart heat help high history hole hook hope horn horse hour house ice idea ink iron
    island jelly jewel join journey judge jump keep kettle key kick kind kiss knee knife knot land language last late
    laugh law lead leaf left leg letter level library lift light line lip list long look lord loss loud love low machine
    map mark market mass match meal measure meat middle milk mind mine minute mist money month moon morning mother
    mountain mouth move music nail name narrow nation near neck need needle nerve net new night noise north nose note
    number nut observe ocean office oil old open orange order oven page pain paint paper parcel part past paste pen
"""
WORDS = tuple(_WORDS.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How the server counts our prompts: tokens = overhead + words x slope, measured once from its own `usage`."""

    tokens_per_word_ratio: float
    overhead_tokens: float  # what the chat template and special tokens add to every prompt

    def words_for(self, tokens: int) -> int:
        """Words that come nearest to `tokens`; at least one.

        >>> Calibration(tokens_per_word_ratio=1.25, overhead_tokens=10.0).words_for(110)
        80
        """
        return max(1, round((tokens - self.overhead_tokens) / self.tokens_per_word_ratio))


# Without a count from the server a prompt is steered in words, and its tokens stay unknown.
WORDS_AS_TOKENS = Calibration(tokens_per_word_ratio=1.0, overhead_tokens=0.0)


def calibration(words: tuple[int, int], tokens: tuple[int, int]) -> Calibration | Undefined:
    """The line through two prompts of known words and counted tokens.

    >>> calibration((1, 301), (12, 402))
    Calibration(tokens_per_word_ratio=1.3, overhead_tokens=10.7)
    """
    slope = (tokens[1] - tokens[0]) / (words[1] - words[0])
    if slope <= 0:
        return Undefined(reason="the server's prompt_tokens do not grow with the prompt")
    return Calibration(tokens_per_word_ratio=slope, overhead_tokens=tokens[0] - slope * words[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request as it is asked for. `input_tokens` includes the shared prefix."""

    key: str  # names it within the run: the same seed and key give the same prompt
    prompt: str
    input_tokens: int
    output_tokens: int
    is_clipped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSource:
    """Every prompt of a run, by key. Depends on nothing but its fields: order and concurrency do not matter."""

    seed: int
    input_lengths: Lengths
    output_lengths: Lengths
    rank_correlation: float
    calibrated: Calibration
    shared_prefix_tokens: int = 0
    most_tokens: int | None = None  # of prompt and answer together, when the server names its limit

    def ask(self, key: str) -> Ask:
        rng = Random(f"{self.seed}/{key}")
        for_input, for_output = correlated_pair(rng, self.rank_correlation)
        wanted_input = self.input_lengths.at(for_input) + self.shared_prefix_tokens
        wanted_output = self.output_lengths.at(for_output)
        input_tokens, output_tokens = fitted(wanted_input, wanted_output, self.most_tokens)
        calibrated = self.calibrated
        words_count = calibrated.words_for(input_tokens)
        shared_count = min(round(self.shared_prefix_tokens / calibrated.tokens_per_word_ratio), words_count - 1)
        shared = Random(f"{self.seed}/shared prefix").choices(WORDS, k=max(0, shared_count))
        words = [*shared, *rng.choices(WORDS, k=words_count - len(shared))]
        return Ask(
            key=key,
            prompt=" ".join(words),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            is_clipped=(input_tokens, output_tokens) != (wanted_input, wanted_output),
        )


def fitted(input_tokens: int, output_tokens: int, most_tokens: int | None) -> tuple[int, int]:
    """Lengths that fit the server's limit: the answer at most half of it, the prompt the rest but for a margin.

    The margin, 2 % and 16 tokens, is for prompts that come out longer than asked.

    >>> fitted(9000, 300, 4096), fitted(100, 200, 4096), fitted(9000, 9000, None)
    ((3704, 300), (100, 200), (9000, 9000))
    """
    if most_tokens is None:
        return input_tokens, output_tokens
    output_tokens = min(output_tokens, max(1, most_tokens // 2))
    room = int((most_tokens - output_tokens) * 0.98) - 16
    return min(input_tokens, max(1, room)), output_tokens
