"""Traffic of a file: read from a path or an upload, and given to the deployments that it names."""

from io import BytesIO

import pytest

from costlib.errors import BadRecord, ConfigError, UnknownKey
from costlib.estimate import Basis
from store.traffic_csv import of_deployments, traffic_of

NAMELESS = b"hour,requests_per_s\n2026-11-16T01:00+01:00,5\n2026-11-16T02:00,7\n"
NAMED = b"\xef\xbb\xbfdeployment,Hour,requests_per_s,note\nchat,2026-11-16T00:00Z,5,x\nsearch,2026-11-16T00:00Z,6,\n"


def test_an_upload_is_read_as_the_file_is_and_stays_open() -> None:
    upload = BytesIO(NAMELESS)
    [load] = traffic_of(upload, "plan.csv")
    assert not upload.closed
    assert (load.file_name, load.basis, load.start.hour) == ("plan.csv", Basis.ASSUMED, 0)
    assert load.requests_per_s.tolist()[::2] == [5.0, 7.0]
    assert load.known_hours == 2, "the hour between is not known, and not zero"


def test_a_load_without_a_name_is_of_the_only_deployment() -> None:
    loads = traffic_of(BytesIO(NAMELESS), "plan.csv")
    assert of_deployments(loads, ["chat"])["chat"].deployment_key == "chat"
    with pytest.raises(ConfigError, match=r"plan\.csv: whose traffic is it"):
        of_deployments(loads, ["chat", "search"])


def test_columns_come_in_any_order_and_name_deployments_that_there_must_be() -> None:
    loads = traffic_of(BytesIO(NAMED), "plan.csv")
    found = of_deployments(loads, ["search", "chat", "other"])
    assert {key: load.requests_per_s.tolist() for key, load in found.items()} == {"chat": [5.0], "search": [6.0]}
    with pytest.raises(UnknownKey, match=r"'search' in plan\.csv"):
        of_deployments(loads, ["chat"])


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"hour,requests_per_s\n\xff,5\n", ConfigError, "Save it as CSV in UTF-8"),
        (b"\x00\x00\x00", BadRecord, "line 1: the header lacks hour and requests_per_s"),
        (b"hour,requests_per_s\n2026-11-16T00:00\n", BadRecord, "line 2: 1 cells under a header of 2; write them all"),
    ],
)
def test_what_is_no_table_says_so_and_what_to_do(content: bytes, error: type[Exception], said: str) -> None:
    upload = BytesIO(content)
    with pytest.raises(error, match=said):
        traffic_of(upload, "plan.csv")
    assert not upload.closed
