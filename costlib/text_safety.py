"""Text that a spreadsheet would run as a formula, made inert for an export, and made again what it was."""

import re

# What Excel, LibreOffice and Google Sheets take for the beginning of a formula, with the full-width and small forms
# that some turn into it, after anything they skip: spaces, controls, marks without width. A tab, a line break or a NUL
# is enough by itself.
_SKIPPED = r"[\s\x00-\x1f\x7f\u200b-\u200f\u2060\ufeff]"
_FORMULA = re.compile(rf"'*{_SKIPPED}*[\t\r\n\x00=+\-@＝＋－＠﹦﹢﹣﹫]")


def neutral(text: str) -> str:
    """`text` as a cell that no spreadsheet runs: with an apostrophe in front if it could be a formula, else as it is.

    For text cells only; an amount stays a number, whatever its sign. Text that begins with apostrophes and then like a
    formula gets one more, so that `restored` gives back every text there is.

    >>> [neutral(text) for text in ("=1+1", " @now", "'=1", "it's", "a=1")]
    ["'=1+1", "' @now", "''=1", "it's", 'a=1']
    """
    return f"'{text}" if _FORMULA.match(text) else text


def restored(text: str) -> str:
    """What `neutral` made `text` of: restored(neutral(text)) is `text`, for any text.

    >>> [restored(text) for text in ("'=1+1", "''=1", "it's", "'quoted'")]
    ['=1+1', "'=1", "it's", "'quoted'"]
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
