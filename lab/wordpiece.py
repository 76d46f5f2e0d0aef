"""Word pieces as BERT has them: words and signs apart, then the longest known pieces from the left."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

UNKNOWN, FIRST, LAST = "[UNK]", "[CLS]", "[SEP]"
_LONGEST_WORD = 100
_LETTERS_PER_PIECE = 40  # of a text's beginning that are looked at for each piece wanted
# Chinese, Japanese and Korean characters stand for themselves.
_IDEOGRAPHS = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2FA1F), (0xF900, 0xFAFF))


@dataclass(frozen=True, slots=True, kw_only=True)
class WordPiece:
    number_of: Mapping[str, int]
    is_lower: bool = True

    @classmethod
    def of(cls, vocabulary: Sequence[str], *, is_lower: bool = True) -> "WordPiece":
        found = {piece: number for number, piece in enumerate(vocabulary)}
        for needed in (UNKNOWN, FIRST, LAST):
            if needed not in found:
                raise ValueError(f"the vocabulary has no {needed}")
        return cls(number_of=found, is_lower=is_lower)

    def ids(self, text: str, most_count: int) -> list[int]:
        """The numbers of the pieces, with the two that mark beginning and end; what is longer is cut."""
        found = [self.number_of[FIRST]]
        for word in _words(text[: most_count * _LETTERS_PER_PIECE], self.is_lower):
            found += self._pieces(word)
            if len(found) >= most_count - 1:
                break
        return [*found[: most_count - 1], self.number_of[LAST]]

    def _pieces(self, word: str) -> list[int]:
        found: list[int] = []
        start = 0
        while start < len(word) <= _LONGEST_WORD:
            for end in range(len(word), start, -1):
                piece = word[start:end] if not start else f"##{word[start:end]}"
                if (number := self.number_of.get(piece)) is not None:
                    found.append(number)
                    start = end
                    break
            else:
                return [self.number_of[UNKNOWN]]
        return found if start else [self.number_of[UNKNOWN]]


def _words(text: str, is_lower: bool) -> Iterator[str]:
    if is_lower:
        decomposed = unicodedata.normalize("NFD", text.lower())
        text = "".join(sign for sign in decomposed if unicodedata.category(sign) != "Mn")
    word = ""
    for sign in text:
        if sign.isspace() or _is_control(sign):
            if word and sign.isspace():
                yield word
                word = ""
        elif _stands_alone(sign):
            if word:
                yield word
            word = ""
            yield sign
        else:
            word += sign
    if word:
        yield word


def _is_control(sign: str) -> bool:
    return sign in "\0\ufffd" or unicodedata.category(sign).startswith("C")


def _stands_alone(sign: str) -> bool:
    code = ord(sign)
    if code < 128:
        return not sign.isalnum()
    return unicodedata.category(sign).startswith("P") or any(low <= code <= high for low, high in _IDEOGRAPHS)
