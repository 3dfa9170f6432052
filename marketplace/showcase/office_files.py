"""Makes the Word and Excel templates of the showcase, so that a change to one can be read in a diff.

Run `python -m marketplace.showcase.office_files` after a change and commit the files it writes; a test checks that they agree.
The bytes depend on this file and the library versions only: time stamps inside the documents are fixed.
"""

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

from docx import Document
from docx.document import Document as Doc
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml.ns import qn
from docx.shared import Cm, Pt, RGBColor
from openpyxl import Workbook
from openpyxl.formatting.rule import CellIsRule
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

HERE = Path(__file__).parent
NAVY = RGBColor(0x1F, 0x3A, 0x5F)
HEAD = PatternFill("solid", fgColor="1F3A5F")
INPUT = PatternFill("solid", fgColor="FFF7E0")
MONEY = "#,##0.00"
STAGES = [("初步接触", 0.1), ("需求确认", 0.25), ("方案报价", 0.5), ("商务谈判", 0.75), ("赢单", 1), ("输单", 0)]


def _document(title: str) -> Doc:
    document = Document()
    section = document.sections[0]
    section.page_width, section.page_height = Cm(21), Cm(29.7)
    section.left_margin = section.right_margin = Cm(2.3)
    normal = document.styles["Normal"]
    normal.font.name, normal.font.size = "Calibri", Pt(10.5)
    normal.element.rPr.rFonts.set(qn("w:eastAsia"), "宋体")
    heading = document.add_paragraph()
    heading.alignment = WD_ALIGN_PARAGRAPH.CENTER
    run = heading.add_run(title)
    run.bold, run.font.size, run.font.color.rgb = True, Pt(18), NAVY
    return document


def _section(document: Doc, title: str) -> None:
    paragraph = document.add_paragraph()
    paragraph.paragraph_format.space_before = Pt(10)
    run = paragraph.add_run(title)
    run.bold, run.font.size, run.font.color.rgb = True, Pt(12), NAVY


def _paragraphs(document: Doc, *texts: str) -> None:
    for text in texts:
        document.add_paragraph(text)


def _facts(document: Doc, *rows: tuple[str, str, str, str]) -> None:
    """A table of labels and values, two pairs a row."""
    table = document.add_table(rows=0, cols=4, style="Table Grid")
    for row in rows:
        cells = table.add_row().cells
        for number, text in enumerate(row):
            cells[number].text = text
            cells[number].paragraphs[0].runs[0].bold = number % 2 == 0


def _rows(document: Doc, loop: str, header: list[str], cells: list[str]) -> None:
    """A table with one row for each item of `loop`, such as `item in items`."""
    table = document.add_table(rows=1, cols=len(header), style="Table Grid")
    for cell, text in zip(table.rows[0].cells, header, strict=True):
        cell.text = text
        cell.paragraphs[0].runs[0].bold = True
    for texts in ([f"{{%tr for {loop} %}}"], cells, ["{%tr endfor %}"]):
        for cell, text in zip(table.add_row().cells, texts, strict=False):
            cell.text = text


def quote() -> Doc:
    """A quotation in two languages; amounts come ready for print, because the CRM has rounded and summed them."""
    document = _document("报 价 单  QUOTATION")
    _facts(document,
           ("客户 Customer", "{{ customer.name }}", "报价单号 No.", "{{ number }}"),
           ("联系人 Contact", "{{ customer.contact }}  {{ customer.mobile }}", "报价日期 Date", "{{ quoted_on }}"),
           ("地址 Address", "{{ customer.address }}", "有效期至 Valid until", "{{ valid_until }}"))  # fmt: skip
    _paragraphs(document, "", "感谢贵司的询价。根据 {{ need }}，我们建议以下方案：")
    _rows(document, "item in items", ["序号", "项目", "说明", "数量", "单价（元）", "小计（元）"],
          ["{{ loop.index }}", "{{ item.name }}", "{{ item.note }}", "{{ item.quantity }} {{ item.unit }}",
           "{{ item.price }}", "{{ item.amount }}"])  # fmt: skip
    _paragraphs(document, "", "{% if discount %}优惠：-{{ discount.amount }} 元（{{ discount.reason }}）{% endif %}",
                "合计（含税 {{ tax_rate }}）：¥{{ total }}    大写：{{ total_words }}")  # fmt: skip
    _section(document, "条款")
    _paragraphs(document, "1. 付款方式：{{ payment_terms }}", "2. 交付时间：{{ delivery }}",
                "3. 本报价在有效期内接受后即可签订合同；超过有效期请向我们确认价格。")  # fmt: skip
    _paragraphs(document, "", "报价人：{{ seller.name }}    电话：{{ seller.phone }}    {{ seller.company }}")
    return document


def renewal_letter() -> Doc:
    """A formal letter with a year's results, the options and the terms of the renewal."""
    document = _document("续约确认函")
    _paragraphs(document, "致：{{ customer }}", "{{ contact }}，您好！",
                "贵司与我司签订的《{{ contract.title }}》（编号 {{ contract.number }}）将于 {{ contract.ends_on }} 到期。"
                "承蒙信任，现就续约事项函告如下：")  # fmt: skip
    _section(document, "一、过去一年的使用成果")
    _paragraphs(document, "{%p for result in results %}", "• {{ result.measure }}：由 {{ result.before }} 改善为 {{ result.now }}", "{%p endfor %}")
    _section(document, "二、续约方案")
    _rows(document, "option in options", ["方案", "版本", "座位", "期限", "含税总价（元）", "折合每座位每月（元）"],
          ["{{ option.name }}{% if option.recommended %}（推荐）{% endif %}", "{{ option.edition }}", "{{ option.seats }}",
           "{{ option.months }} 个月", "{{ option.total }}", "{{ option.per_seat_month }}"])  # fmt: skip
    _section(document, "三、约定")
    _paragraphs(document, "1. 请于 {{ reply_by }} 前回复所选方案；续约自 {{ starts_on }} 起生效，数据和配置保持不变。",
                "2. 价格有效期至 {{ price_valid_until }}。款项优先从贵司预付余额中扣除，余额不足部分请在生效日前充值。",
                "{%p if changes %}", "3. 与原合同相比的变化：{{ changes }}", "{%p endif %}",
                "", "{{ vendor.company }}", "客户成功经理：{{ vendor.csm }}    {{ vendor.phone }}", "{{ issued_on }}")  # fmt: skip
    return document


def visit_report() -> Doc:
    """Who was met and what they care about, what was learnt, risks and tasks."""
    document = _document("客户拜访报告")
    _facts(document,
           ("客户", "{{ customer }}", "拜访日期", "{{ visited_on }}"),
           ("地点", "{{ place }}", "拜访人", "{{ visitors | join('、') }}"),
           ("客户阶段", "{{ stage }}", "拜访目的", "{{ purpose }}"))  # fmt: skip
    _section(document, "参会人与态度")
    _rows(document, "person in people", ["姓名", "职务", "态度", "关注点"],
          ["{{ person.name }}", "{{ person.title }}", "{{ person.attitude }}", "{{ person.cares_about }}"])  # fmt: skip
    _section(document, "了解到的情况")
    _paragraphs(document, "{%p for finding in findings %}", "{{ loop.index }}. {{ finding }}", "{%p endfor %}")
    _section(document, "风险与应对")
    _paragraphs(document, "{%p if risks %}", "{%p for risk in risks %}", "【{{ risk.level }}】{{ risk.what }} → {{ risk.response }}", "{%p endfor %}",
                "{%p else %}", "本次拜访未发现明显风险。", "{%p endif %}")  # fmt: skip
    _section(document, "下一步")
    _rows(document, "task in tasks", ["事项", "负责人", "完成日期"], ["{{ task.what }}", "{{ task.owner }}", "{{ task.due_on }}"])
    return document


def meeting_minutes() -> Doc:
    """Subjects with decisions, and actions with owner, date and the test of being done."""
    document = _document("会议纪要")
    _facts(document,
           ("主题", "{{ topic }}", "时间", "{{ held_at }}"),
           ("地点", "{{ place }}", "主持", "{{ chair }}"),
           ("记录", "{{ writer }}", "缺席", "{% if absent %}{{ absent | join('、') }}{% else %}无{% endif %}"))  # fmt: skip
    _paragraphs(document, "", "出席：{{ present | join('、') }}（共 {{ present | length }} 人）")
    _section(document, "议题与结论")
    _paragraphs(document, "{%p for subject in subjects %}", "{{ loop.index }}. {{ subject.title }}", "讨论：{{ subject.discussion }}",
                "结论：{{ subject.decision }}", "{%p endfor %}")  # fmt: skip
    _section(document, "待办事项")
    _rows(document, "action in actions", ["序号", "事项", "负责人", "截止日期", "验收标准"],
          ["{{ loop.index }}", "{{ action.what }}", "{{ action.owner }}", "{{ action.due_on }}", "{{ action.done_when }}"])  # fmt: skip
    _paragraphs(document, "", "{%p if next_meeting %}", "下次会议：{{ next_meeting }}", "{%p endif %}",
                "如对纪要有异议，请在收到后一个工作日内提出。")  # fmt: skip
    return document


def _header(sheet: Worksheet, row: int, titles: list[str], widths: list[int]) -> None:
    for column, (title, width) in enumerate(zip(titles, widths, strict=True), start=1):
        cell = sheet.cell(row, column, title)
        cell.font, cell.fill, cell.alignment = Font(bold=True, color="FFFFFF"), HEAD, Alignment(horizontal="center")
        sheet.column_dimensions[cell.column_letter].width = width


def _named(book: Workbook, sheet: Worksheet, name: str, address: str, *, is_input: bool = False, form: str | None = None) -> None:
    column, row = re.fullmatch(r"([A-Z]+)(\d+)", address).groups()  # type: ignore[union-attr]
    book.defined_names[name] = DefinedName(name, attr_text=f"'{sheet.title}'!${column}${row}")
    if is_input:
        sheet[address].fill = INPUT
    if form:
        sheet[address].number_format = form


def _choices(sheet: Worksheet, cells: str, words: list[str]) -> None:
    rule = DataValidation(type="list", formula1=f'"{",".join(words)}"', allow_blank=True, showErrorMessage=True)
    rule.errorTitle, rule.error = "请从列表中选择", "可选：" + "、".join(words)
    sheet.add_data_validation(rule)
    rule.add(cells)


def sales_funnel() -> Workbook:
    """Deals on one sheet, the funnel over them on the other; the first 500 deals count."""
    book = Workbook()
    funnel = book.active
    assert isinstance(funnel, Worksheet)
    funnel.title = "漏斗"
    deals = book.create_sheet("商机")
    _header(deals, 1, ["商机名称", "客户", "负责人", "阶段", "金额（元）", "预计成交日"], [26, 22, 12, 12, 16, 14])
    deals.freeze_panes = "A2"
    _choices(deals, "D2:D501", [stage for stage, _ in STAGES])
    for row in range(2, 502):
        deals.cell(row, 5).number_format = MONEY
        deals.cell(row, 6).number_format = "yyyy-mm-dd"
    _named(book, deals, "first_row", "A2")

    funnel["A1"], funnel["A1"].font = "销售漏斗", Font(bold=True, size=16, color="1F3A5F")
    for row, (label, name, value) in enumerate([("月份", "month", None), ("本月目标（元）", "target", None)], start=2):
        funnel[f"A{row}"], funnel[f"B{row}"] = label, value
        _named(book, funnel, name, f"B{row}", is_input=True, form=MONEY if name == "target" else "@")
    _header(funnel, 5, ["阶段", "赢率", "商机数", "金额（元）", "加权金额（元）"], [20, 18, 12, 18, 18])
    for row, (stage, chance) in enumerate(STAGES, start=6):
        funnel[f"A{row}"], funnel[f"B{row}"] = stage, chance
        funnel[f"B{row}"].number_format, funnel[f"B{row}"].fill = "0%", INPUT
        funnel[f"C{row}"] = f"=COUNTIF(商机!$D$2:$D$501,A{row})"
        funnel[f"D{row}"] = f"=SUMIF(商机!$D$2:$D$501,A{row},商机!$E$2:$E$501)"
        funnel[f"E{row}"] = f"=D{row}*B{row}"
        funnel[f"D{row}"].number_format = funnel[f"E{row}"].number_format = MONEY
    for row, (label, name, formula, form) in enumerate([
        ("在谈金额（元）", "open_amount", "=SUM(D6:D9)", MONEY),
        ("加权预测（元）", "weighted_forecast", "=SUM(E6:E10)", MONEY),
        ("目标完成预测", "coverage", '=IF(target=0,"",weighted_forecast/target)', "0.0%"),
        ("赢单率", "win_rate", '=IF(C10+C11=0,"",C10/(C10+C11))', "0.0%"),
    ], start=13):  # fmt: skip
        funnel[f"A{row}"], funnel[f"B{row}"] = label, formula
        _named(book, funnel, name, f"B{row}", form=form)
    funnel.conditional_formatting.add("B15", CellIsRule(operator="lessThan", formula=["0.8"], font=Font(color="B42318", bold=True)))
    return book


def stock_count() -> Workbook:
    """A count sheet for up to 300 items, with differences in quantity and money."""
    book = Workbook()
    sheet = book.active
    assert isinstance(sheet, Worksheet)
    sheet.title = "盘点表"
    sheet["A1"], sheet["A1"].font = "库存盘点表", Font(bold=True, size=16, color="1F3A5F")
    for column, label, name in (("A", "仓库", "warehouse"), ("D", "盘点日期", "counted_on"), ("G", "盘点人", "counter")):
        sheet[f"{column}2"] = label
        _named(book, sheet, name, f"{chr(ord(column) + 1)}2", is_input=True)
    totals = [("A", "已盘品项", "counted_items", '=COUNT(F7:F306)', "0"), ("D", "盘盈金额", "gain_amount", '=SUMIF(I7:I306,">0")', MONEY),
              ("G", "盘亏金额", "loss_amount", '=SUMIF(I7:I306,"<0")', MONEY)]  # fmt: skip
    for column, label, name, formula, form in totals:
        sheet[f"{column}3"], sheet[f"{chr(ord(column) + 1)}3"] = label, formula
        _named(book, sheet, name, f"{chr(ord(column) + 1)}3", form=form)
    sheet["A4"], sheet["B4"] = "账实相符率", '=IF(counted_items=0,"",COUNTIF(G7:G306,0)/counted_items)'
    _named(book, sheet, "accuracy", "B4", form="0.0%")
    _header(sheet, 6, ["品号", "品名", "规格", "单位", "账面数", "实盘数", "差异数", "单价（元）", "差异金额（元）", "差异原因"],
            [14, 22, 16, 10, 12, 12, 12, 12, 16, 18])  # fmt: skip
    for row in range(7, 307):
        sheet[f"G{row}"] = f'=IF(F{row}="","",F{row}-E{row})'
        sheet[f"I{row}"] = f'=IF(F{row}="","",G{row}*H{row})'
        sheet[f"F{row}"].fill = INPUT
        sheet[f"H{row}"].number_format = sheet[f"I{row}"].number_format = MONEY
    _choices(sheet, "J7:J306", ["漏记出库", "漏记入库", "破损", "串货", "丢失", "待查"])
    whole = DataValidation(type="decimal", operator="greaterThanOrEqual", formula1="0", allow_blank=True, showErrorMessage=True)
    whole.errorTitle, whole.error = "实盘数不对", "请填 0 或正数；没盘的留空"
    sheet.add_data_validation(whole)
    whole.add("F7:F306")
    sheet.conditional_formatting.add("G7:G306", CellIsRule(operator="lessThan", formula=["0"], font=Font(color="B42318", bold=True)))
    sheet.freeze_panes = "C7"
    _named(book, sheet, "first_row", "A7")
    return book


DOCUMENTS: dict[str, Callable[[], Doc]] = {
    "quote-document": quote, "renewal-letter": renewal_letter, "visit-report": visit_report, "meeting-minutes": meeting_minutes,
}  # fmt: skip
WORKBOOKS: dict[str, Callable[[], Workbook]] = {"sales-funnel-sheet": sales_funnel, "stock-count-sheet": stock_count}


def _settled(content: bytes) -> bytes:
    """The same office file with fixed times, inside and out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(source.namelist(), key=lambda name: (name != "[Content_Types].xml", name)):
            data = source.read(name)
            if name == "docProps/core.xml":
                data = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"2026-01-01T00:00:00Z", data)
            member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, 0o100644 << 16
            target.writestr(member, data)
    return buffer.getvalue()


def make() -> dict[Path, bytes]:
    """Every template, by the path it belongs to."""
    made: dict[Path, bytes] = {}
    for slug, build in DOCUMENTS.items():
        buffer = io.BytesIO()
        build().save(buffer)
        made[HERE / slug / "template.docx"] = _settled(buffer.getvalue())
    for slug, fill in WORKBOOKS.items():
        buffer = io.BytesIO()
        fill().save(buffer)
        made[HERE / slug / "template.xlsx"] = _settled(buffer.getvalue())
    return made


if __name__ == "__main__":
    for path, content in make().items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
