"""What checks find, and the words that publishers read about it: what is wrong, and how to mend it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _

from core.texts import is_storable

LONGEST = 300


def _l(text: str) -> str:
    """Mark a sentence for the catalogue; it is translated when it is said."""
    return text


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `what` is the piece of the bundle it is about; `rule` is a key of `RULES`, or a linter's own name."""

    rule: str
    what: str = ""
    file: str | None = None
    line: int | None = None

    def stored(self) -> dict[str, Any]:
        """As a check's record keeps it."""
        return {"rule": self.rule, "what": plain(self.what), "file": plain(self.file) if self.file else None, "line": self.line}

    @property
    def where(self) -> str:
        """`file:line` as far as they are known."""
        return f"{self.file or ''}{f':{self.line}' if self.line else ''}"

    @property
    def sentence(self) -> str:
        """What is wrong, in the reader's language."""
        wrong = RULES.get(self.rule, ("%(what)s", ""))[0]
        return str(_(wrong, what=self.what))

    @property
    def fix(self) -> str:
        """How to mend it; empty for a linter's own rules, which say it themselves."""
        mend = RULES.get(self.rule, ("", ""))[1]
        return str(_(mend)) if mend else ""


class Refused(Exception):
    """A check failed; its findings say why."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = list(findings)
        super().__init__("; ".join(f"{one.where} {one.rule} {one.what}" for one in self.findings))


def refuse(rule: str, what: str = "", file: str | None = None, line: int | None = None) -> Refused:
    """A refusal with one finding, to be raised."""
    return Refused([Finding(rule, what, file, line)])


def read(stored: Mapping[str, Any]) -> Finding:
    """A finding as a record or a sandboxed program tells it; nothing in it is believed."""
    line = stored.get("line")
    file = stored.get("file")
    return Finding(plain(stored.get("rule")), plain(stored.get("what")), plain(file) if file else None, line if isinstance(line, int) else None)


def plain(value: object) -> str:
    """Foreign text, short and fit for the database."""
    text = str(value)[:LONGEST]
    return text if is_storable(text) else text.encode("ascii", "backslashreplace").decode().replace("\x00", "\\x00")


RULES: dict[str, tuple[str, str]] = {
    "zip_not": (_l("This is not a zip file."), _l("Pack the bundle's folder as a zip and try again.")),
    "zip_large": (_l("The zip is larger than %(what)s."), _l("Leave out what a run does not need.")),
    "zip_files": (_l("There are more than %(what)s files."), _l("Leave out what a run does not need.")),
    "zip_path": (_l("%(what)s: a file must stay inside the bundle."), _l("Use relative names without “..”.")),
    "zip_name": (_l("%(what)s: this name holds signs that look like others or hide."), _l("Use letters, digits, dot, hyphen and underscore.")),
    "zip_link": (_l("%(what)s: links and special files are not allowed."), _l("Put the file itself in.")),
    "zip_encrypted": (_l("%(what)s: the file is encrypted."), _l("Pack it without a password.")),
    "zip_file_large": (_l("%(what)s: the file is too large."), _l("Split it, or leave out what a run does not need.")),
    "zip_same_name": (_l("Two files have the same name: %(what)s (upper and lower case count as the same)."), _l("Rename one.")),
    "zip_damaged": (_l("The zip is damaged or packed in an uncommon way: %(what)s"), _l("Pack it again with an ordinary tool.")),
    "zip_unpacked": (_l("Unpacked, the bundle is larger than %(what)s."), _l("Leave out what a run does not need.")),
    "file_kind": (_l("Files of this kind are not allowed in a bundle: %(what)s"), _l("Keep to texts, tables, Word, Excel and pictures.")),
    "file_archive": (_l("An archive inside the bundle: %(what)s"), _l("Put its files in directly.")),
    "file_disguised": (_l("The content does not fit the name: %(what)s"), _l("Give the file the ending of what it is.")),
    "manifest_missing": (_l("manifest.json is missing."), _l("It must lie at the top of the zip, not in a folder.")),
    "manifest_json": (_l("manifest.json is not valid JSON: %(what)s"), _l("Open it in an editor that checks JSON.")),
    "manifest_schema": (_l("manifest.json at %(what)s"), _l("See the format of the manifest in the publisher's guide.")),
    "manifest_text": (_l("manifest.json at %(what)s: this text holds characters that cannot be stored."), _l("Write it anew.")),
    "manifest_file": (_l("manifest.json names %(what)s, but the bundle does not hold it."), _l("Put the file in, or correct the name.")),
    "manifest_other": (_l("manifest.json does not fit this listing: %(what)s"), _l("Correct it, or hand the bundle in at the right listing.")),
    "manifest_parameters": (_l("The parameters are wrong: %(what)s"), _l("Give each a schema with a default that fits it, and samples values that fit.")),
    "manifest_variables": (
        _l("The task's variables and the manifest's parameters differ: %(what)s"), _l("Declare each variable but INPUT and OUTPUT, with the same default.")),
    "manifest_permission": (_l("There is no such permission: %(what)s"), _l("Use a resource and one of read, write, send, like contact:read.")),
    "manifest_permission_missing": (_l("It does more than it declares: permission %(what)s is missing."), _l("Declare it, so that buyers see it.")),
    "manifest_host": (_l("No host version is within %(what)s."), _l("Give a lower bound and a higher upper bound, like >=1.0,<2.0.")),
    "copy_variables": (
        _l("The task's variables must stay those of the app, with the same values: %(what)s"), _l("Give another value where you run it, as a parameter.")),
    "robot_file": (_l("The task must be one .robot file of at most 1 MB: %(what)s"), _l("Rename or shorten it.")),
    "robot_syntax": (_l("Robot Framework does not understand this: %(what)s"), _l("Run the file with robot --dryrun and mend what it reports.")),
    "robot_no_task": (_l("There is not exactly one task in the file: %(what)s"), _l("Write one task under *** Tasks ***.")),
    "robot_language": (_l("Language files are not allowed: %(what)s"), _l("Use “Language: en” or “Language: zh-CN”, or none.")),
    "robot_library": (
        _l("This library is not allowed: %(what)s"), _l("Use BuiltIn, Collections, DateTime, OperatingSystem, String and XML, under their own names.")),
    "robot_import": (_l("Other files may not be imported: %(what)s"), _l("Put the keywords into the task's own file.")),
    "robot_keyword": (_l("This keyword is not allowed: %(what)s"), _l("It runs Python, programs or keywords by name, or leaves its folders.")),
    "robot_condition": (_l("A condition may only compare: %(what)s"), _l("Write $name, constants, ==, <, in, and, or, not; put data into a variable first.")),
    "robot_inline_python": (_l("Variables may be named, not computed: %(what)s"), _l("Use a keyword for the computation.")),
    "robot_path": (_l("A path outside the task's folders: %(what)s"), _l("Read below ${INPUT}, write below ${OUTPUT}.")),
    "robot_dry_run": (_l("The dry run failed: %(what)s"), _l("Run the file with robot --dryrun and mend what it reports.")),
    "template_syntax": (_l("The template has an error: %(what)s"), _l("Correct it; tags open and close in pairs.")),
    "template_reaches_inside": (_l("The template reaches into Python: %(what)s"), _l("Use the fields of the data only; names that begin with _ are closed.")),
    "template_loads_files": (_l("The template loads other files: %(what)s"), _l("Put their text in directly.")),
    "template_calls": (_l("The template calls something unknown: %(what)s"), _l("Use filters, methods of texts and lists, and its own macros.")),
    "office_unreadable": (_l("The file can't be read as what its ending says: %(what)s"), _l("Save it anew in Word or Excel.")),
    "office_macro": (_l("Macros are not allowed: %(what)s"), _l("Save the file without macros.")),
    "office_embedded_object": (_l("Embedded objects are not allowed: %(what)s"), _l("Remove them, or put in a picture.")),
    "office_external_link": (_l("Links out of the file are not allowed: %(what)s"), _l("Put the content in instead of linking to it.")),
    "office_executable": (_l("A program is inside the file: %(what)s"), _l("Remove it.")),
    "office_entities": (_l("The file declares XML entities: %(what)s"), _l("Save it anew in Word or Excel.")),
    "office_field": (_l("This field fetches or runs something: %(what)s"), _l("Remove the field, or put in its result as text.")),
    "formula_reaches_out": (_l("This formula reaches out of the workbook: %(what)s"), _l("Remove it; formulas may use the workbook's own cells.")),
    "too_many_cells": (_l("The workbook has more than %(what)s cells."), _l("Remove empty formatted rows and columns.")),
    "json_unreadable": (_l("The file is not valid JSON: %(what)s"), _l("Open it in an editor that checks JSON.")),
    "json_large": (_l("The file is larger or deeper than %(what)s."), _l("Shorten it.")),
    "schema_invalid": (_l("This is not a valid JSON Schema (2020-12): %(what)s"), _l("Correct it; the place is named.")),
    "schema_reference": (_l("References may only point into the schema itself: %(what)s"), _l("Put the definition under $defs and refer to #/$defs/….")),
    "schema_pattern": (_l("This pattern can take forever: %(what)s"), _l("Don't repeat what repeats already or has alternatives, like (a+)+ or (a|ab)*.")),
    "mapping_invalid": (_l("The mapping rules are wrong: %(what)s"), _l("See the format of mapping rules in the publisher's guide.")),
    "mapping_large": (_l("The mapping rules are too large: %(what)s"), _l("Use fewer or shorter rules.")),
    "pack_invalid": (_l("The voucher is wrong: %(what)s"), _l("Give meter, units and valid_days.")),
    "offering_invalid": (_l("The terms are wrong: %(what)s"), _l("A service has milestones, a bundle parts and a price; 10,000,000.00 at most.")),
    "secret": (_l("This looks like a secret: %(what)s"), _l("Take it out of the bundle, and change it where it was used.")),
    "replay_failed": (_l("The replay failed: %(what)s"), _l("Run it on the sample and mend what it reports.")),
    "replay_time": (_l("The replay took too long and was ended: %(what)s"), _l("Make it faster, or the sample smaller.")),
    "replay_memory": (_l("The replay used too much memory: %(what)s"), _l("Work through the data in pieces.")),
    "replay_output": (_l("The replay produced too much output: %(what)s"), _l("Write less, or make the sample smaller.")),
    "replay_crashed": (_l("The replay ended without a result: %(what)s"), _l("Run it on the sample and mend what it reports.")),
    "expected_missing": (_l("Expected, but not produced: %(what)s"), _l("Correct the task, or the expected files.")),
    "expected_extra": (_l("Produced, but not expected: %(what)s"), _l("Add the file to the expected ones, or don't write it.")),
    "expected_differs": (_l("Produced otherwise than expected: %(what)s"), _l("Compare both and correct one of them.")),
    "run_failed": (_l("The run failed: %(what)s"), _l("Compare your file with the sample: columns, encoding, formats.")),
    "run_time": (_l("The run took too long and was ended: %(what)s"), _l("Run a smaller file, or split it.")),
    "run_memory": (_l("The run used too much memory: %(what)s"), _l("Run a smaller file, or split it.")),
    "run_output": (_l("The run produced too much output: %(what)s"), _l("Run a smaller file, or split it.")),
    "run_crashed": (_l("The run ended without a result: %(what)s"), _l("Compare your file with the sample: columns, encoding, formats.")),
    "run_unpaid": (_l("The money set aside for this run is gone or frozen. Nothing was charged. %(what)s"), _l("Look at the wallet, then run it again.")),
    "run_lost": (_l("The run was interrupted. %(what)s"), _l("Run it again.")),
    "sandbox_missing": (_l("There is no sandbox on this machine: %(what)s"), _l("The operator must make it available; the check is repeated then.")),
}  # fmt: skip
