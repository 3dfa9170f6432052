"""What people are shown of a bundle."""

from marketplace.release import bundles
from marketplace.store import contents, markdown
from tests.marketplace.store_world import repack, unzip, zip_of


def showcase(slug):
    return bundles.build(bundles.SHOWCASE / slug).content


def test_every_bundle_of_the_showcase_can_be_shown():
    for one in bundles.load_showcase():
        inside = contents.read(bundles.build(one.folder).content)
        assert inside.cases, one.slug
        assert all(case.inputs and case.outputs for case in inside.cases), one.slug
        assert inside.readme_zh != inside.readme_en, one.slug
        assert "<h3>" in markdown.render(inside.readme_zh)


def test_rows_and_texts_are_cut_and_say_so():
    files = {**unzip(showcase("clean-phone-numbers")), "sample/customers.csv": ("a,b\n" + "1,2\n" * 5000).encode()}
    (sample,) = contents.read(zip_of(files)).cases[0].inputs
    assert sample.is_cut
    assert len(sample.rows) == contents.MOST_ROWS + 1


def test_changes_between_versions():
    old = showcase("clean-phone-numbers")
    files = {**unzip(old), "README.md": b"# new\n", "extra.txt": b"x\n"}
    del files["expected/rejected.csv"]
    new = zip_of(files)
    changes = {entry.name: change for change, entry in contents.file_changes(contents.read(new), contents.read(old))}
    assert changes["README.md"] == "changed"
    assert changes["extra.txt"] == "added"
    assert changes["expected/rejected.csv"] == "removed"
    assert changes["task.robot"] == "same"
    diffs = {name: lines for name, lines, _cut in contents.text_changes(new, old)}
    assert set(diffs) == {"README.md", "extra.txt", "expected/rejected.csv"}
    assert "+# new" in diffs["README.md"]
    assert [key for key, _old, _new in contents.manifest_changes(contents.read(repack(old, "2.0.0")), contents.read(old))] == ["version"]


def test_a_readme_can_not_bring_markup():
    html = markdown.render("# <script>alert(1)</script>\n\n- `<b>`\n- **x** <img src=x onerror=y>\n\n```\n</pre><b>\n```\n1. one\n2. two")
    assert "<script" not in html
    assert "<img" not in html
    assert "</pre><b>" not in html
    assert "<ol><li>one</li><li>two</li></ol>" in html
