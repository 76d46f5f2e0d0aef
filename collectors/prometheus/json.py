"""The answer of a Prometheus-compatible API, its samples as arrays.

An answer is a few labels and then millions of `[seconds,"number"]` pairs. Building a list and a string for each pair
is most of the work of any JSON parser. So the runs of pairs are cut out of the text and read in one pass as what they
are, a table of two columns, and only what is left is read as JSON. A text that is not written in this way is read as
JSON whole: the short cut decides about the time an answer takes, never about what it says.
"""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Within JSON these bytes can only be the key of a list of lists: the quotes of a label that quotes them are escaped.
_BEGIN, _BETWEEN, _END = b'"values":[[', b"],[", b"]]"
_KEY = b'"values":'
_READ = pa.csv.ReadOptions(column_names=["at", "value"], use_threads=False)
_CONVERT = pa.csv.ConvertOptions(
    column_types={"at": pa.float64(), "value": pa.float64()}, null_values=["NaN"], strings_can_be_null=True
)


def read_answer(body: bytes) -> Any:
    """`body` as JSON, with each "values" of a matrix as an array (samples, 2) of unix seconds and values.

    Raises ValueError when it is no JSON, or a sample no pair of numbers.

    >>> answer = read_answer(b'{"data":{"result":[{"metric":{},"values":[[15,"1"],[30.5,"+Inf"]]}]}}')
    >>> answer["data"]["result"][0]["values"]
    array([[15. ,  1. ],
           [30.5,  inf]])
    """
    texts: list[bytes] = []
    rest: list[bytes] = []
    done = 0
    while (begin := body.find(_BEGIN, done)) >= 0 and (end := body.find(_END, begin)) >= 0:
        rest += (body[done:begin], _KEY, b"%d" % len(texts))
        texts.append(body[begin + len(_BEGIN) : end])
        done = end + len(_END)
    try:
        document = json.loads(b"".join((*rest, body[done:])))
        tables = _tables(texts)
    except (ValueError, pa.ArrowInvalid):
        document, tables = json.loads(body), []
    for series in _matrix(document):
        values = series.get("values")
        if isinstance(values, list):
            series["values"] = _pairs(values)
        elif isinstance(values, int) and 0 <= values < len(tables):
            series["values"] = tables[values]
    return document


def _tables(texts: list[bytes]) -> list[Floats]:
    """One array for each text of pairs; they are read as one table, because a call costs more than a hundred rows."""
    if not texts:
        return []
    rows = b"\n".join(texts).replace(_BETWEEN, b"\n").replace(b'"+Inf"', b"inf").replace(b'"-Inf"', b"-inf")
    table = pa.csv.read_csv(pa.BufferReader(rows), read_options=_READ, convert_options=_CONVERT)
    counts = [text.count(_BETWEEN) + 1 for text in texts]
    if table.num_rows != sum(counts):
        raise ValueError("not one pair a row")
    pairs = np.column_stack([column.to_numpy(zero_copy_only=False) for column in table.columns])
    return np.split(pairs, np.cumsum(counts)[:-1])


def _matrix(document: Any) -> list[dict[str, Any]]:
    data = document.get("data") if isinstance(document, dict) else None
    result = data.get("result") if isinstance(data, dict) else None
    return [series for series in result if isinstance(series, dict)] if isinstance(result, list) else []


def _pairs(values: list[Any]) -> Floats:
    try:
        return np.array([(float(at), float(value)) for at, value in values], dtype=float).reshape(-1, 2)
    except TypeError as error:
        raise ValueError(f"a sample is no pair of numbers: {error}") from None
