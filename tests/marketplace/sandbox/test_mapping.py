"""A mapping turns rows into records by its rules, or says what is wrong with them."""

from typing import Any

import pytest

from marketplace.sandbox import mapping


def mapped(cell: str, *transforms: Any, required: bool = False) -> Any:
    """What one cell becomes; a text when the row is rejected for it."""
    field = {"target": "x", "source": "X", "transforms": list(transforms), "required": required}
    result = mapping.apply({"target": "t", "fields": [field]}, [{"X": cell}])
    return result.records[0]["x"] if result.records else f"rejected: {result.rejected[0]['problems'][0]['problem']}"


@pytest.mark.parametrize(("cell", "transforms", "value"), [
    (" Ab ", ["trim"], "Ab"), (" Ab ", ["lower"], " ab "), (" Ab ", ["trim", "lower"], "ab"),
    ("0086 138-1234-5601", ["phone"], "13812345601"), ("12345", ["phone"], "rejected: not a mobile number"),
    ("¥1,280.5", ["money"], 128050), ("-0.05", ["money"], -5), ("0", ["money"], 0), ("1.234", ["money"], "rejected: not an amount"),
    ("90071992547409.93", ["money"], 9007199254740993),
    ("2026/3/5", [{"date": ["%Y-%m-%d", "%Y/%m/%d"]}], "2026-03-05"), ("2026-02-30", [{"date": ["%Y-%m-%d"]}], "rejected: not a date in a known format"),
    ("是", [{"lookup": {"是": "yes"}}], "yes"), ("否", [{"lookup": {"是": "yes"}}], "rejected: not a known word"),
    ("否", [{"lookup": {"是": "yes"}, "otherwise": "no"}], "no"), ("", ["money"], None), ("  ", ["phone"], None)])  # fmt: skip
def test_transforms(cell: str, transforms: list[Any], value: Any) -> None:
    assert mapped(cell, *transforms) == value


def test_required_rejects_the_row_with_every_reason() -> None:
    rules = {"target": "t", "fields": [{"target": "a", "source": "A", "required": True}, {"target": "b", "source": "B", "transforms": ["phone"]}]}
    result = mapping.apply(rules, [{"A": " ", "B": "1"}, {"A": "x", "B": ""}])
    assert result.records == [{"a": "x", "b": None}]
    assert result.rejected == [
        {"row": 1, "problems": [{"source": "A", "value": " ", "problem": "required"}, {"source": "B", "value": "1", "problem": "not a mobile number"}]}
    ]


def test_const_needs_no_column() -> None:
    assert mapping.apply({"target": "t", "fields": [{"target": "a", "const": 7}]}, [{}]).records == [{"a": 7}]


@pytest.mark.parametrize("fields", [
    [], [{"target": "a"}], [{"target": "a", "source": "A", "const": 1}], [{"target": "A b", "source": "A"}],
    [{"target": "a", "source": "A", "transforms": ["eval"]}], [{"target": "a", "source": "A", "transforms": ["money", "trim"]}],
    [{"target": "a", "source": "A", "transforms": [{"date": []}]}]])  # fmt: skip
def test_wrong_rules_are_refused(fields: list[Any]) -> None:
    with pytest.raises(mapping.MappingInvalid):
        mapping.apply({"target": "t", "fields": fields}, [{"A": "1"}])


def test_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(mapping.MappingInvalid, match="no column A"):
        mapping.apply({"target": "t", "fields": [{"target": "a", "source": "A"}]}, [{"B": "1"}])


@pytest.mark.parametrize("content", ["姓名\n张三\n".encode("gb18030"), b"a,b\n1\n", b"a\n1,2\n", b'a\n"1\n'])
def test_a_table_that_cannot_be_read_is_refused(content: bytes) -> None:
    with pytest.raises(mapping.MappingInvalid):
        mapping.read_table(content)


def test_a_table_may_begin_with_a_mark() -> None:
    assert mapping.read_table('\ufeff姓名,备注\r\n张三,"a,\nb"\r\n'.encode()) == [{"姓名": "张三", "备注": "a,\nb"}]
