"""What a page says, as a test reads it."""

import json
import re

import pandas as pd
from streamlit.testing.v1 import AppTest

MARKDOWN_KINDS = ("title", "subheader", "markdown", "caption", "info", "warning", "error", "success")


def texts(at: AppTest) -> list[str]:
    """Every text that the page draws as Markdown, as it was written."""
    written = [element.value for kind in MARKDOWN_KINDS for element in getattr(at, kind)]
    return written + [part for card in at.metric for part in (card.label, card.value, card.delta, card.help) if part]


def page_text(at: AppTest) -> str:
    """The page as one text, without the escapes that Markdown removes and without what cannot be seen."""
    return re.sub(r"\\([\W_])", r"\1", "\n".join(texts(at))).replace("\u2060", "")


def badges(at: AppTest) -> list[str]:
    """The words of the badges, without their icons."""
    found = re.findall(r":\w+-badge\[(?::material/\w+: )?(.*?)\]", "\n".join(element.value for element in at.markdown))
    return [text.replace("\\", "") for text in found]


def card(at: AppTest, label: str) -> str:
    """The figure on the card of this name."""
    (found,) = [metric.value for metric in at.metric if metric.label == label]
    return found


def usd(figure: str) -> float:
    return float(figure.replace("$", "").replace(",", ""))


def chart(at: AppTest, key: str) -> dict:
    """The Plotly figure drawn under this key."""
    (found,) = [c.proto for c in at.get("plotly_chart") if re.search(rf"-{re.escape(key)}$", c.proto.id)]
    return json.loads(found.spec or found.figure.spec)


def table(at: AppTest, column: str) -> pd.DataFrame:
    """The table that has this column."""
    (found,) = [frame.value for frame in at.dataframe if column in frame.value.columns]
    return found
