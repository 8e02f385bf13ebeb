"""Self-tests of shape.py."""
from collections import Counter

import pytest

from tests.contract import shape
from tests.contract.shape import mismatches

ITEM = {"id": "cpod-uuid", "customer_id": "cust-uuid", "price": 9, "createdAt": "2025-01-01T00:00:00Z", "day": "2025-01-01",
        "error": None, "active": True, "tags": ["a"]}


def test_same_structure_with_other_values_and_extra_keys():
    actual = {**ITEM, "id": "42", "price": 9.99, "createdAt": "2030-02-03T04:05:06.789+02:00", "error": {"any": 1}, "extra": 0}
    assert mismatches({"items": [ITEM], "total": 1}, {"items": [actual, ITEM], "total": 2}) == []


def test_missing_key_is_case_sensitive_and_names_its_path():
    actual = {k: v for k, v in ITEM.items() if k != "createdAt"} | {"created_at": ITEM["createdAt"]}
    assert mismatches({"items": [ITEM]}, {"items": [ITEM, actual]}) == ["$.items[1].createdAt: missing"]


@pytest.mark.parametrize("example, actual", [("9", 9), (9, "9"), (1, True), (True, 1), ({}, []), ([], {}), ("x", None), (1, None)])
def test_wrong_type(example, actual):
    assert len(mismatches(example, actual)) == 1


@pytest.mark.parametrize("value, wrong", [
    ("2025-12-03T02:45:00.000Z", False), ("2025-12-03T02:45:00+00:00", False), ("2025-12-03T02:45:00", True), ("2025-13-03T02:45:00Z", True),
    ("2025-12-03", True), ("soon", True), ("", True)])
def test_timestamp_must_parse_and_have_a_timezone(value, wrong):
    assert bool(mismatches({"at": "2025-01-01T00:00:00Z"}, {"at": value})) is wrong


def test_date_only_example_wants_a_date():
    assert mismatches({"day": "2024-11-15"}, {"day": "2025-02-28"}) == []
    assert mismatches({"day": "2024-11-15"}, {"day": "2025-02-30"}) and mismatches({"day": "2024-11-15"}, {"day": "x"})


@pytest.mark.parametrize("key", ["id", "customerId", "site_id"])
def test_id_is_any_non_empty_string(key):
    assert mismatches({key: "uuid"}, {key: "7"}) == []
    assert mismatches({key: "uuid"}, {key: ""}) == [f"$.{key}: empty id"]
    assert mismatches({key: "uuid"}, {key: 7}) == [f"$.{key}: expected string, got number"]
    assert mismatches({"paid": "x"}, {"paid": ""}) == []


def test_empty_list_only_when_allowed():
    assert mismatches({"data": [ITEM]}, {"data": []}) == ["$.data: empty list"]
    assert mismatches({"data": [ITEM]}, {"data": []}, allow_empty=True) == []
    assert mismatches({"errors": []}, {"errors": []}) == [] and mismatches({"errors": []}, {"errors": ["x"]}) == []


def test_contract_loads_without_duplicates_and_lists(capsys):
    entries = shape.load()
    assert max(Counter((e["method"], e["path"]) for e in entries).values()) == 1
    assert max(Counter(e["id"] for e in entries).values()) == 1
    for entry in entries:
        assert mismatches(entry["response"], entry["response"]) == [], entry["id"]
    assert shape.main(["--list"]) == 0
    assert capsys.readouterr().out.split()[-1] == str(len(entries))
