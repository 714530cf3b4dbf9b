"""What the built-in page ships: foreign files as they are documented, and nothing that its policy forbids."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

import pytest

from dashboards.console.assets import PAGE, read_assets
from dashboards.console.bundle import BundleError, bundled, modules_of

CONSOLE = Path("dashboards/console")
OURS = sorted(path for path in CONSOLE.glob("*.js") if path.name != "uPlot.esm.js")


def test_files_of_others_are_those_that_the_documents_name() -> None:
    documents = Path("docs/dependencies.md").read_text("utf-8")
    for path in (CONSOLE / "uPlot.esm.js", Path("tests/e2e/axe/axe.min.js")):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in documents
    assert "MIT" in (CONSOLE / "uPlot.LICENSE").read_text("utf-8")


def test_text_is_never_markup_and_nothing_comes_from_elsewhere() -> None:
    forbidden = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function")
    for path in OURS:
        text = path.read_text("utf-8")
        assert not forbidden.search(text), path
        assert set(re.findall(r"https?://[^\"'` ]+", text)) <= {"http://www.w3.org/2000/svg"}, path
    page = (CONSOLE / "index.html").read_text("utf-8")
    assert not re.search(r"<style|style=|\son\w+=|https?://", page)
    assert re.findall(r"<script[^>]*>", page) == ['<script type="module" src="/console/main.js">']


def test_what_a_first_look_reads_is_small_and_asked_for_at_once() -> None:
    assets = read_assets()
    first = (PAGE, "console.css", "main.js", "shared-stream.js", "icon.svg")
    assert sum(len(assets[name].gzipped) for name in first) < 60_000
    page = assets[PAGE].plain.decode()
    for name in ("console.css", "main.js", "icon.svg"):
        assert f'"/console/{name}?v={assets[name].version}"' in page
    script = assets["main.js"].plain.decode()
    assert f'"/console/shared-stream.js?v={assets["shared-stream.js"].version}"' in script
    assert f'import("/console/uPlot.esm.js?v={assets["uPlot.esm.js"].version}")' in script
    assert gzip.decompress(assets["main.js"].gzipped) == assets["main.js"].plain


def test_every_module_is_part_of_the_page() -> None:
    sources = {path.name: path.read_text("utf-8") for path in OURS}
    used = {*modules_of(sources, "main.js"), *modules_of(sources, "shared-stream.js")}
    assert used == set(sources)


def test_modules_become_one_script_in_the_order_of_their_imports() -> None:
    sources = {
        "a.js": 'import { two } from "./b.js";\nimport { one } from "./c.js";\nconst own = 1;\nexport const three = () => one + two() + own;\n',
        "b.js": 'import { one } from "./c.js";\nconst own = 2;\nexport function two() {\n  return own * one;\n}\n',
        "c.js": "export const one = 1;\n",
    }
    assert modules_of(sources, "a.js") == ["c.js", "b.js", "a.js"]
    script = bundled(sources, "a.js")
    assert "import" not in script
    assert "export" not in script
    assert [line for line in script.splitlines() if line.startswith("return")] == [
        "return { one };",
        "return { two };",
        "return { three };",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('import * as all from "./b.js";', "not understood"),
        ("export default 1;", "not understood"),
        ('import { a } from "./a.js";', "imports itself"),
        ('import { a } from "./gone.js";', "not there"),
    ],
)
def test_what_cannot_be_put_together_is_said(text: str, told: str) -> None:
    with pytest.raises(BundleError, match=told):
        bundled({"a.js": text}, "a.js")
