"""Text from outside made inert: for a spreadsheet, which runs formulas, for Markdown, and for a screen or page."""

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


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~:$^&])")
_ADDRESS = re.compile(r"https?:|ftp:|mailto:|xmpp:|www|@", re.IGNORECASE)
WORD_JOINER = "\u2060"


def plain(text: object, longest: int = 120) -> str:
    """`text` without control or direction characters, cut to `longest`. For what draws text literally.

    >>> plain("a\\x1bb"), plain("abcdef", longest=4)
    ('a�b', 'abc…')
    """
    clean = _CONTROL.sub("�", str(text))
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


def without_addresses(text: str) -> str:
    """`text` with an invisible joiner in what Markdown would make a link or a mention of, even when escaped."""
    return _ADDRESS.sub(lambda found: found[0] + WORD_JOINER, text)


def in_markdown(text: object, longest: int = 120) -> str:
    r"""`plain`, with everything Markdown could act on escaped. For labels, captions and messages.

    >>> in_markdown("*x*") == r"\*x\*"
    True
    """
    return _MARKDOWN.sub(r"\\\1", without_addresses(plain(text, longest)))
