"""How a document is laid out on A4: head, parties, lines, totals, and what a reader needs below them. Millimetres and points."""

import re
from collections.abc import Sequence

from fpdf import FPDF

from billing.document import document_words as words
from billing.document import pdf_fonts
from billing.document.document_contents import Content

LEFT, WIDTH, TOP, BOTTOM = 18.0, 174.0, 16.0, 24.0
JADE, INK, MUTED, HAIR, PAPER = (11, 95, 92), (27, 36, 48), (86, 96, 112), (205, 201, 190), (246, 244, 239)
SMALL, BODY, LARGE = 7.5, 8.5, 11.0  # points
ROW = 4.4  # height of a line of body text
PIECES = re.compile(r"[（《“]*(?:[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]|[^\s\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]+)[，。、；：）》”·,.;:)]*\s*|\s+")
Row = Sequence[str]


class DocumentPage:
    """One document on as many pages as it needs."""

    def __init__(self, file: FPDF, content: Content, content_hash: bytes, labels: dict[str, str], language: str) -> None:
        self.file, self.content, self.hash, self.label, self.language = file, content, content_hash, labels, language
        self.currency, self.zone = content["currency"], content["timezone"]
        self.sign = "−" if content["kind"] == "credit_note" else ""

    def draw(self) -> None:
        """Everything, from the first page's head to the last page's foot."""
        file = self.file
        file.set_margins(LEFT, TOP, LEFT)
        file.set_auto_page_break(False)
        file.c_margin = 0
        file.add_page()
        self._head()
        self._parties()
        self._correction()
        self._table()
        self._totals()
        self._payment()
        self._feet()

    # Small tools.

    def _text(self, x: float, y: float, text: str, width: float, *, size: float = BODY, bold: bool = False, align: str = "L",
              colour: tuple[int, int, int] = INK, height: float = ROW) -> float:  # fmt: skip
        """Text within a width, on as many lines as it takes; returns the y below it."""
        file = self.file
        file.set_font("Noto", "B" if bold else "", size)
        file.set_text_color(*colour)
        file.set_xy(x, y)
        file.multi_cell(width, height, self._broken(text, width), align=align, new_x="LEFT", new_y="NEXT", padding=0)
        return float(file.get_y())

    def _height(self, text: str, width: float, size: float = BODY, bold: bool = False, height: float = ROW) -> float:
        """How high the text will be."""
        self.file.set_font("Noto", "B" if bold else "", size)
        return height * (1 + self._broken(text, width).count("\n"))

    def _fitting(self, amount: str, width: float) -> float:
        """The size at which an amount stands on one line: a figure broken in two would be misread."""
        self.file.set_font("Noto", "", BODY)
        needed = self.file.get_string_width(amount) + 0.2
        return BODY if needed <= width else BODY * width / needed

    def _broken(self, text: str, width: float) -> str:
        """The text with its lines broken as Chinese is: after any ideograph, between words of other scripts, and no line begins with a closing mark."""
        lines = [""]
        for piece in PIECES.findall(pdf_fonts.printable(text)):
            if lines[-1] and self.file.get_string_width((lines[-1] + piece).rstrip()) > width - 0.1:
                lines[-1] = lines[-1].rstrip()
                lines.append(piece.lstrip())
            else:
                lines[-1] += piece
        return "\n".join(lines)

    def _rule(self, y: float, *, colour: tuple[int, int, int] = HAIR, thick: float = 0.2, x: float = LEFT, width: float = WIDTH) -> None:
        self.file.set_draw_color(*colour)
        self.file.set_line_width(thick)
        self.file.line(x, y, x + width, y)

    def _amount(self, value_minor: int, sign: str | None = None) -> str:
        return words.amount(value_minor, self.currency, self.sign if sign is None and value_minor else sign or "")

    def _room(self, height: float) -> None:
        """A new page where the present one has no room for so much."""
        if self.file.get_y() + height > self.file.h - BOTTOM:
            self.file.add_page()
            y = self._text(LEFT, TOP, f"{self.label['title']} {self.content['number']}", WIDTH, size=SMALL, colour=MUTED)
            self.file.set_y(y + 2)

    # Parts, from top to bottom.

    def _head(self) -> None:
        file, content, seller = self.file, self.content, self.content["seller"]
        file.set_fill_color(*JADE)
        file.rect(LEFT, TOP, WIDTH, 1.2, style="F")
        y = self._text(LEFT, TOP + 6, words.seller_name(seller, self.language), 96, size=LARGE, bold=True, height=5.4)
        for label, value in (
            ("tax_number", seller["tax_number"]), ("address", words.chosen(seller, "address", self.language)), ("phone", seller["phone"]),
            ("email", seller["email"]),
        ):  # fmt: skip
            if value:
                y = self._text(LEFT, y + 0.3, f"{self.label[label]}  {value}", 96, size=SMALL, colour=MUTED, height=3.9)
        right = LEFT + 104
        below = self._text(right, TOP + 5, self.label["title"], 70, size=20, bold=True, align="R", colour=JADE, height=10)
        period = words.period(content["supplied_from"], content["supplied_until"] if content["kind"] != "receipt" else None, self.zone)
        pairs = [("number", content["number"]), ("issued", words.day(content["issued_at"], self.zone)), ("supplied", period), ("currency", self.currency)]
        below += 1
        for label, value in pairs:
            self._text(right, below, self.label[label], 26, size=BODY, colour=MUTED)
            below = self._text(right + 26, below, value, 44, bold=label == "number", align="R") + 0.4
        file.set_y(max(y, below) + 5)

    def _parties(self) -> None:
        buyer, top = self.content["buyer"], self.file.get_y()
        left = [("tax_number", buyer["tax_number"]), ("address", buyer["address"]), ("phone", buyer["phone"]), ("email", buyer["email"])]
        right = [("member", buyer["member_number"]), ("order_number", buyer["order_number"]), ("cost_centre", buyer["cost_centre"])]
        if self.content["kind"] == "receipt":
            right.append(("reference", self.content["payment"]["reference"]))
        self._rule(top, colour=INK, thick=0.3)
        y = self._text(LEFT, top + 2.5, self.label["to"], 104, size=SMALL, colour=MUTED)
        y = self._text(LEFT, y, buyer["title"], 104, size=10, bold=True, height=5)
        below = top + 2.5
        for label, value in left:
            if value:
                self._text(LEFT, y + 0.4, self.label[label], 22, colour=MUTED)
                y = self._text(LEFT + 22, y + 0.4, value, 82)
        for label, value in right:
            if value:
                self._text(LEFT + 112, below, self.label[label], 28, colour=MUTED)
                below = self._text(LEFT + 140, below, value, WIDTH - 140, align="R") + 0.4
        self.file.set_y(max(y, below) + 4)

    def _correction(self) -> None:
        """What a credit note takes back, and why."""
        corrects = self.content["corrects"]
        if not corrects:
            return
        top = self.file.get_y()
        said = f"{self.label['corrects']} {corrects['number']} ({words.day(corrects['issued_at'], self.zone)})"
        reason = f"{self.label['reason']}: {self.content['reason']}" if self.content["reason"] else ""
        whole = f"{self.label['original']}: {words.amount(corrects['gross_minor'], self.currency)}"
        height = 7.5 + (self._height(reason, WIDTH - 8) if reason else 0) + ROW
        self.file.set_fill_color(*PAPER)
        self.file.rect(LEFT, top, WIDTH, height, style="F")
        self.file.set_fill_color(*JADE)
        self.file.rect(LEFT, top, 0.9, height, style="F")
        y = self._text(LEFT + 4, top + 1.8, said, WIDTH - 8, bold=True)
        y = self._text(LEFT + 4, y, whole, WIDTH - 8)
        if reason:
            self._text(LEFT + 4, y, reason, WIDTH - 8)
        self.file.set_y(top + height + 4)

    def _columns(self) -> list[tuple[str, float, str]]:
        """Label, width, alignment; the widths sum to the page's."""
        if self.content["kind"] == "receipt":
            return [("", 8, "L"), ("item", 106, "L"), ("date", 26, "L"), ("amount", 34, "R")]
        return [
            ("", 7, "L"), ("item", 53, "L"), ("quantity", 10, "R"), ("unit", 23, "R"), ("net", 24, "R"), ("rate", 12, "R"),
            ("tax", 20, "R"), ("gross", 25, "R"),
        ]  # fmt: skip

    def _table(self) -> None:
        self._table_head()
        for line in self.content["lines"]:
            cells = self._cells(line)
            note = self._note(line)
            width = self._columns()[1][1] - 2
            height = self._height(cells[1], width) + (self._height(note, width, SMALL, height=3.6) if note else 0) + 2.6
            before = self.file.page
            self._room(height)
            if self.file.page != before:
                self._table_head()
            self._row(cells, note, height)

    def _table_head(self) -> None:
        top = self.file.get_y()
        heads = [self.label[label] if label else "#" for label, _width, _align in self._columns()]
        height = max(self._height(head, width - 1.5, SMALL, True, 3.6) for head, (_label, width, _align) in zip(heads, self._columns(), strict=True)) + 3
        self.file.set_fill_color(*PAPER)
        self.file.rect(LEFT, top, WIDTH, height, style="F")
        x = LEFT
        for head, (_label, width, align) in zip(heads, self._columns(), strict=True):
            self._text(x + (0 if align == "R" else 1.5), top + 1.5, head, width - 1.5, size=SMALL, bold=True, align=align, height=3.6)
            x += width
        self.file.set_y(top + height)

    def _cells(self, line: Content) -> list[str]:
        name = words.chosen(line, "name", self.language)
        if self.content["kind"] == "receipt":
            return [str(line["n"]), name, words.day(line["at"], self.zone), self._amount(line["gross_minor"])]
        unit = "" if line["unit_minor"] is None else words.amount(line["unit_minor"], self.currency)
        return [
            str(line["n"]), name, f"{line['quantity']:,}", unit, self._amount(line["net_minor"]), words.percent(line["rate_bp"]),
            self._amount(line["tax_minor"]), self._amount(line["gross_minor"]),
        ]  # fmt: skip

    def _note(self, line: Content) -> str:
        """The period a line is for, or the day of a purchase."""
        if self.content["kind"] == "receipt":
            return ""
        period = words.period(line["service_from"] or line["at"], line["service_until"], self.zone)
        return f"{period} · {self.label['unit_net']}" if line.get("unit_excludes_tax") else period

    def _row(self, cells: Row, note: str, height: float) -> None:
        top, x = self.file.get_y() + 1.3, LEFT
        for cell, (label, width, align) in zip(cells, self._columns(), strict=True):
            at = x + (0 if align == "R" else 1.5)
            room = width - 1.5 if align == "R" else width - 2
            size = self._fitting(cell, room) if align == "R" else BODY
            below = self._text(at, top, cell, room, size=size, align=align, colour=MUTED if not label else INK)
            if label == "item" and note:
                self._text(at, below, note, width - 2, size=SMALL, colour=MUTED, height=3.6)
            x += width
        self.file.set_y(top - 1.3 + height)
        self._rule(self.file.get_y())

    def _totals(self) -> None:
        content = self.content
        rows = []
        if content["kind"] != "receipt":
            rows.append((self.label["net_total"], self._amount(content["net_minor"])))
            for tax in content["taxes"]:
                named = f"{words.chosen(tax, 'name', self.language)} {words.percent(tax['rate_bp'])} · {self._amount(tax['net_minor'])}"
                rows.append((named, self._amount(tax["tax_minor"])))
        capitals = words.in_capitals(content["gross_minor"], self.currency) if self.language == "zh" else None
        self._room(len(rows) * 5.2 + 18)
        y, left, width = self.file.get_y() + 3, LEFT + 84, WIDTH - 84
        for label, value in rows:
            self._text(left, y, label, width - 34, colour=MUTED)
            y = self._text(left + width - 34, y, value, 34, align="R") + 0.8
        self._rule(y + 0.6, colour=INK, thick=0.5, x=left, width=width)
        self._text(left, y + 2.2, self.label["total"], width - 42, size=10, bold=True, height=5.6)
        total = f"{self.currency} {self._amount(content['gross_minor'])}"
        y = self._text(left + 30, y + 2.2, total, width - 30, size=LARGE, bold=True, align="R", height=5.6)
        if capitals:
            credit = "（负数）" if self.sign else ""
            y = self._text(LEFT, y + 1.2, f"{self.label['in_words']}  {credit}{capitals}", WIDTH, bold=True, align="R")
        self.file.set_y(y + 4)

    def _payment(self) -> None:
        """How it was paid or is given back, what is still owed, and where to."""
        payment = self.content["payment"]
        named = (("paid_minor", "paid"), ("bonus_minor", "bonus"), ("granted_minor", "granted"), ("owed_minor", "owed"))
        rows = [(self.label[label], words.amount(payment[name], self.currency)) for name, label in named if payment.get(name)]
        bank = payment.get("bank")
        said = self.label["legend"]
        self._room(len(rows) * 4.6 + (28 if bank else 0) + 14)
        y = self.file.get_y()
        for label, value in rows:
            self._text(LEFT, y, label, 70, colour=MUTED)
            y = self._text(LEFT + 70, y, value, 28, align="R") + 0.2
        if bank:
            y = self._text(LEFT, y + 3, self.label["pay_to"], WIDTH, bold=True) + 0.4
            for label, name in (("holder", "holder"), ("bank", "bank"), ("account", "number"), ("code", "code")):
                if bank[name]:
                    self._text(LEFT, y, self.label[label], 30, colour=MUTED)
                    y = self._text(LEFT + 30, y, bank[name], WIDTH - 30) + 0.2
        y = self._text(LEFT, y + 3, said, WIDTH, size=SMALL, colour=MUTED, height=3.8)
        self.file.set_y(y)

    def _feet(self) -> None:
        """Every page's foot, once it is known how many there are."""
        pages = self.file.pages_count
        for n in range(1, pages + 1):
            self.file.page = n
            y = self.file.h - 15
            self._rule(y)
            self._text(LEFT, y + 1.6, f"{self.label['proof']} {self.hash.hex()}", WIDTH - 36, size=6, colour=MUTED, height=3)
            self._text(LEFT + WIDTH - 36, y + 1.6, self.label["page"].format(n=n, pages=pages), 36, size=SMALL, align="R", colour=MUTED, height=3)
