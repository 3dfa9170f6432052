"""What Word and Excel files may not hold, read from the parts of the package itself (ECMA-376, part 2)."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import etree

RELATIONSHIP = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
PARTS = (  # of the name of a part, in lower case
    (re.compile(r"vbaproject|vbadata|macrosheets?/|\.bas$|customui/"), "office_macro"),
    (re.compile(r"activex|embeddings?/|oleobject"), "office_embedded_object"),
    (re.compile(r"externallinks?/|connections\.xml|querytables?/|webextensions?/"), "office_external_link"),
    (re.compile(r"\.(?:exe|dll|js|vbs|ps1|bat|cmd|lnk|scr|hta|html?)$"), "office_executable"),
)
MACRO_TYPES = re.compile(rb"macroEnabled|vnd\.ms-office\.vbaProject|ms-excel\.(?:intl)?macrosheet", re.IGNORECASE)
FIELDS = re.compile(r"\b(DDEAUTO|DDE|INCLUDETEXT|INCLUDEPICTURE|IMPORT|LINK|MACROBUTTON|AUTOTEXT|HYPERLINK|DATABASE|GOTOBUTTON|PRINT)\b")
WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
MOST_XML = 16 << 20


def findings(path: Path, entry: str) -> Iterator[dict[str, Any]]:
    """Each thing that a template may not hold. Raises BadZipFile, ValueError and lxml's SyntaxError for what is no office file."""
    with zipfile.ZipFile(path) as package:
        for info in package.infolist():
            name = info.filename.lower()
            for pattern, rule in PARTS:
                if pattern.search(name):
                    yield _finding(entry, rule, info.filename)
            if name.endswith((".xml", ".rels")):
                if info.file_size > MOST_XML:
                    raise ValueError(f"{info.filename} is too large")
                yield from _xml(entry, info.filename, package.read(info))


def _xml(entry: str, name: str, content: bytes) -> Iterator[dict[str, Any]]:
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content or content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        yield _finding(entry, "office_entities", name)
        return
    if name == "[Content_Types].xml" and MACRO_TYPES.search(content):
        yield _finding(entry, "office_macro", name)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    root = etree.fromstring(content, parser)
    for relation in root.iter(RELATIONSHIP):
        if relation.get("TargetMode", "").lower() == "external":
            yield _finding(entry, "office_external_link", f"{name}: {relation.get('Target')}")
    instructions = "".join(node.text or "" for node in root.iter(f"{WORD}instrText")) + " ".join(
        n.get(f"{WORD}instr", "") for n in root.iter(f"{WORD}fldSimple")
    )
    if found := FIELDS.search(instructions.upper()):
        yield _finding(entry, "office_field", f"{name}: {found[1]}")
    if (
        next((node for node in root.iter() if isinstance(node.tag, str) and etree.QName(node).localname in ("ddeLink", "oleLink", "altChunk")), None)
        is not None
    ):
        yield _finding(entry, "office_external_link", name)


def _finding(entry: str, rule: str, what: str) -> dict[str, Any]:
    return {"file": entry, "line": None, "rule": rule, "what": what[:200]}
