"""Manifests: a month is imported whole and current, whatever part of it a person names."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from collectors.billing._manifest import delivered
from costlib.errors import BadRecord

LAYOUT = Path(__file__).with_name("aws_cur") / "s3_layout"
SEPTEMBER, OCTOBER = "20260901-20261001", "20261001-20261101"
PARTS = [f"report-0000{number}.csv.gz" for number in range(1, 6)]


def put(path: Path, content: str = "a,b\n1,2\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def legacy(folder: Path, assembly: str, parts: Sequence[str] = PARTS, name: str = "report") -> Path:
    """A delivery of October as AWS writes it: parts and manifest in the assembly's folder, its copy above."""
    keys = [f"some/prefix/{name}/{OCTOBER}/{assembly}/{part}" for part in parts]
    content = {"assemblyId": assembly, "reportName": name, "reportKeys": keys, "billingPeriod": {"start": "20261001"}}
    for part in parts:
        put(folder / name / OCTOBER / assembly / part)
    put(folder / name / OCTOBER / assembly / f"{name}-Manifest.json", json.dumps(content))
    return put(folder / name / OCTOBER / f"{name}-Manifest.json", json.dumps(content))


def data_export(folder: Path, month: str, parts: Sequence[str], execution: str = "") -> Path:
    inside = f"BILLING_PERIOD={month}/{execution}".rstrip("/")
    for part in parts:
        put(folder / "data" / inside / part)
    content = {
        "executionId": execution or "e-1",
        "exportArn": "arn:aws:bcm-data-exports:us-east-1:1:export/x",
        "dataFiles": [f"s3://bucket/prefix/x/data/{inside}/{part}" for part in parts],
    }
    return put(folder / "metadata" / f"BILLING_PERIOD={month}" / "x-Manifest.json", json.dumps(content))


def azure(folder: Path, run_at: str, parts: Sequence[str] = ("000001.csv", "000002.csv"), **more: object) -> Path:
    run = f"20261001-20261031/{run_at}/7c-{run_at}"
    files = [put(folder / run / part) for part in parts]
    blobs = [
        {"blobName": f"costs/daily/{run}/{file.name}", "byteCount": file.stat().st_size, "dataRowCount": 1}
        for file in files
    ]
    return put(folder / run / "manifest.json", json.dumps({"blobCount": len(blobs), "blobs": blobs} | more))


def names(paths: Sequence[Path]) -> list[str]:
    return [path.name for path in paths]


def test_a_folder_of_months_as_it_lies_in_s3_is_a_file_a_month() -> None:
    assert names(delivered([LAYOUT])) == ["September-2026-gpucur.csv.gz", "October-2026-gpucur.csv.gz"]


@pytest.mark.parametrize("named", ["gpucur-Manifest.json", "*/gpucur-Manifest.json", "*/*.csv.gz", "."])
def test_whatever_is_named_of_a_month_is_the_month_once(named: str) -> None:
    paths = list((LAYOUT / "gpucur" / SEPTEMBER).glob(named)) if named != "." else [LAYOUT / "gpucur" / SEPTEMBER]
    assert paths
    assert names(delivered([*paths, *paths])) == ["September-2026-gpucur.csv.gz"]


def test_b06_a_part_that_is_missing_is_named_and_counted(tmp_path: Path) -> None:
    manifest = legacy(tmp_path, "one")
    (manifest.parent / "one" / PARTS[3]).unlink()
    for named in (manifest, tmp_path, manifest.parent / "one" / PARTS[0]):
        with pytest.raises(BadRecord, match=r"incomplete 4/5: report-00004\.csv\.gz is missing"):
            delivered([named])


def test_b06_one_part_alone_is_all_of_them_in_the_manifests_order(tmp_path: Path) -> None:
    manifest = legacy(tmp_path, "one")
    assert names(delivered([manifest.parent / "one" / PARTS[4]])) == PARTS


def test_b06_parts_and_manifest_in_one_flat_folder_belong_together(tmp_path: Path) -> None:
    manifest = legacy(tmp_path / "s3", "one")
    flat = tmp_path / "flat"
    shutil.copytree(manifest.parent / "one", flat)
    assert delivered([flat / "report-Manifest.json"]) == [flat / part for part in PARTS]


def test_b03_an_assembly_that_was_superseded_is_refused_and_the_folder_is_the_new_one(tmp_path: Path) -> None:
    legacy(tmp_path, "old")
    manifest = legacy(tmp_path, "new", PARTS[:2])
    old = manifest.parent / "old"
    assert delivered([tmp_path]) == delivered([manifest]) == [manifest.parent / "new" / part for part in PARTS[:2]]
    for named in (old, old / "report-Manifest.json", old / PARTS[0]):
        with pytest.raises(BadRecord, match="is superseded by assembly new"):
            delivered([named])
    (old / "report-Manifest.json").unlink()
    for named in (old, old / PARTS[0]):
        with pytest.raises(BadRecord, match="is superseded by assembly new"):
            delivered([named])


def test_b03_two_assemblies_and_nothing_that_says_which_is_newer_are_refused(tmp_path: Path) -> None:
    legacy(tmp_path, "one").unlink()
    legacy(tmp_path, "two").unlink()
    with pytest.raises(BadRecord, match="nothing says which is newer"):
        delivered([tmp_path])
    assert names(delivered([tmp_path / "report" / OCTOBER / "one" / "report-Manifest.json"])) == PARTS


def test_two_reports_of_a_month_are_two(tmp_path: Path) -> None:
    legacy(tmp_path, "one", PARTS[:1])
    legacy(tmp_path, "two", ["other-00001.csv.gz"], name="other")
    assert names(delivered([tmp_path])) == ["other-00001.csv.gz", "report-00001.csv.gz"]


@pytest.mark.parametrize("execution", ["", "20261005T010203Z-77"])
def test_a_data_exports_parts_lie_in_a_tree_beside_its_manifests(execution: str, tmp_path: Path) -> None:
    parts = ["x-00001.snappy.parquet", "x-00002.snappy.parquet"]
    data_export(tmp_path, "2026-09", parts)
    manifest = data_export(tmp_path, "2026-10", parts, execution)
    october = tmp_path.joinpath("data", "BILLING_PERIOD=2026-10", execution)
    assert delivered([manifest]) == delivered([october / parts[1]]) == [october / part for part in parts]
    assert len(delivered([tmp_path])) == 4
    (october / parts[0]).unlink()
    for named in (tmp_path, manifest, october / parts[1], october):
        with pytest.raises(BadRecord, match="incomplete 1/2: x-00001"):
            delivered([named])


def test_b03_a_part_left_over_from_a_larger_delivery_is_refused(tmp_path: Path) -> None:
    data_export(tmp_path, "2026-10", ["x-00001.snappy.parquet", "x-00002.snappy.parquet"])
    left = put(tmp_path / "data" / "BILLING_PERIOD=2026-10" / "x-00003.snappy.parquet")
    with pytest.raises(BadRecord, match="is superseded by assembly e-1"):
        delivered([left])
    assert len(delivered([tmp_path])) == 2


def test_b03_the_latest_run_of_an_azure_export_is_the_month(tmp_path: Path) -> None:
    early, late = azure(tmp_path, "202610050042"), azure(tmp_path, "202610060042")
    assert {path.parent for path in delivered([tmp_path])} == {late.parent}
    assert names(delivered([late])) == names(delivered([late.parent / "000002.csv"])) == ["000001.csv", "000002.csv"]
    for named in (early, early.parent, early.parent / "000001.csv"):
        with pytest.raises(BadRecord, match="is superseded by assembly"):
            delivered([named])


def test_an_azure_run_says_itself_when_it_ran(tmp_path: Path) -> None:
    late = azure(tmp_path, "202610050042", runInfo={"submittedTime": "2026-10-09T00:00:00Z"})
    azure(tmp_path, "202610060042", runInfo={"submittedTime": "2026-10-08T00:00:00Z"})
    assert {path.parent for path in delivered([tmp_path])} == {late.parent}


def test_b08_a_part_of_another_size_than_delivered_is_refused(tmp_path: Path) -> None:
    manifest = azure(tmp_path, "202610050042")
    put(manifest.parent / "000002.csv", "a,b\n1,")
    with pytest.raises(BadRecord, match=r"000002\.csv has 6 bytes where 7c-202610050042/manifest\.json says 8"):
        delivered([manifest])


def test_b06_a_file_of_the_same_name_above_is_not_the_part_that_is_missing(tmp_path: Path) -> None:
    manifest = azure(tmp_path, "202610050042")
    (manifest.parent / "000002.csv").rename(manifest.parent.parent / "000002.csv")
    with pytest.raises(BadRecord, match=r"incomplete 1/2: 000002\.csv"):
        delivered([manifest])


def test_b06_a_manifest_that_counts_more_parts_than_it_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match="counts 3 parts and names 2"):
        delivered([azure(tmp_path, "202610050042", blobCount=3)])


def test_without_manifests_a_folder_is_every_table_in_it(tmp_path: Path) -> None:
    for name in ("billing_period=2024-09/a.snappy.parquet", "billing_period=2024-10/b.csv.gz", "c.CSV"):
        put(tmp_path / name)
    for name in ("_SUCCESS", ".hidden.csv", "notes.txt", "billing_period=2024-10/_old.csv", "totals.json"):
        put(tmp_path / name)
    assert names(delivered([tmp_path])) == ["a.snappy.parquet", "b.csv.gz", "c.CSV"]


def test_b24_a_folder_with_nothing_to_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match="holds no manifest and no CSV or Parquet file"):
        delivered([tmp_path])


def test_a_file_that_no_manifest_lists_is_itself(tmp_path: Path) -> None:
    azure(tmp_path, "202610050042")
    loose = put(tmp_path / "20261001-20261031/202610050042/7c-202610050042/prices.csv")
    absent = tmp_path / "absent.csv"
    document = put(tmp_path / "manifest.json", '{"name": "a web page"}')
    assert delivered([loose, absent, document]) == [loose, absent, document]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"reportKeys": ["a', "is a damaged or cut-off manifest"),
        ('{"reportKeys": []}', "reportKeys is no list of file names"),
        ('{"dataFiles": [1]}', "dataFiles is no list of file names"),
        ('{"blobs": ["a"]}', "blobs is no list of objects"),
        ('{"blobs": [{"byteCount": 1}]}', "blobName is no list of file names"),
        ('{"reportKeys": ["a/../../../etc/passwd"]}', "leads out of its folder"),
    ],
)
def test_b28_a_manifest_that_makes_no_sense_is_refused(content: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match=says):
        delivered([put(tmp_path / "x-Manifest.json", content)])
