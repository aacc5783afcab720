"""The report: complete, self-contained, and looked at by a browser where there is one."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_figures import REJECTED, scores_of

from slams import figures, report
from slams.errors import SlamsError

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
COSTS = pd.DataFrame(
    {
        "rule": ["train_prior", "assimilate_cell", "regrid"],
        "jobs": [2, 31, 3],
        "seconds": [180.0, 260.5, 12.0],
        "max_rss_MB": [900.0, 1100.0, np.nan],
    }
)


def write(folder: Path, **changes: object) -> Path:
    """A report as the rule would write it, with what is given changed."""
    picture = figures.save(figures.ablation_curves(scores_of()), folder / "ablation")[1]
    content: dict = {
        "title": "Model planet <demo>",
        "notes": ["40 fields train no prior worth the name."],
        "scores": scores_of(),
        "figures": [{"path": picture, "caption": "CRPS & axes.", "alt": 'Curves of "CRPS"'}],
        "rejected": REJECTED,
        "costs": COSTS,
        "provenance": {
            "code_version": "0.1.0",
            "config_hash": "ab" * 32,
            "inputs": {"a": "cd" * 32},
        },
        "configuration": {"name": "demo", "axes": {"coarse": {"values": [4, 8]}}, "path": folder},
    }
    report.write(folder / "report.html", **(content | changes))
    return folder / "report.html"


class Page(HTMLParser):
    """Collects tags and their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def of(self, name: str) -> list[dict]:
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("report")
    write(where)
    return where


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "report.html").read_text(encoding="utf-8"))


class TestPage:
    def test_asks_for_nothing_else(self, page):
        for _, attributes in page.tags:
            for name in ("src", "href", "srcset", "poster", "action"):
                target = attributes.get(name, "#")
                assert target.startswith(("#", "data:image/png;base64,"))
        assert not page.of("link") and not page.of("iframe")

    def test_says_all_it_should(self, page):
        text = " ".join(page.text.split())
        for said in (
            "Model planet <demo>",
            "40 fields train no prior worth the name.",
            "Figure 1. CRPS & axes.",
            "missing value",
            "10,200",
            "train_prior",
            "ab" * 32,
            "coarse 20",
            "no background",
            "a smaller CRPS than the interpolation of the same observations in 56 of 56 cells",
        ):
            assert said in text

    def test_is_accessible(self, page):
        assert page.of("html")[0]["lang"] == "en"
        assert [tag for tag, _ in page.tags].count("h1") == 1
        assert all(image["alt"] for image in page.of("img"))
        assert all("scope" in head for head in page.of("th"))
        ids = [a["id"] for _, a in page.tags if "id" in a]
        assert len(ids) == len(set(ids))
        assert {a["href"][1:] for a in page.of("a")} <= set(ids)

    def test_marks_one_best_a_row(self, page):
        best = [cell for cell in page.of("td") if cell.get("class") == "best"]
        # Two tables of eleven axis values and the row without background.
        assert len(best) == 2 * 12

    def test_without_the_optional_parts(self, tmp_path):
        lean = write(tmp_path, notes=[], figures=[], rejected=None, costs=None, provenance={})
        text = Page(lean.read_text(encoding="utf-8")).text
        assert "No observation was rejected" in text and "No benchmark was recorded" in text

    def test_shows_what_every_decoder_cannot_give(self, tmp_path):
        cards = {
            "autoencoder": {"reconstruction_rmse_K": {"500.0": 0.126, "850.0": 0.214}},
            "autoencoder_paper": {"reconstruction_rmse_K": {"500.0": 1.5, "850.0": 2.5}},
            "prior_pixel": {"validation_loss": 0.2},
        }
        text = " ".join(Page(write(tmp_path, provenance=cards).read_text("utf-8")).text.split())
        assert "level (hPa)autoencoderautoencoder paper 5000.131.50 8500.212.50" in text

    def test_one_case_has_no_interval_to_show(self, tmp_path):
        single = write(tmp_path, scores=scores_of(intervals=False).assign(cases=1))
        text = Page(single.read_text(encoding="utf-8")).text
        assert not re.search(r"\bnan\b", text, re.IGNORECASE)

    def test_leaves_only_itself(self, folder):
        names = {path.name for path in folder.iterdir()}
        assert {"report.html", "ablation.png", "ablation.pdf"} <= names
        assert not [name for name in names if "partial" in name]


class TestErrors:
    def test_missing_figure(self, tmp_path):
        lost = [{"path": tmp_path / "lost.png", "caption": "", "alt": ""}]
        with pytest.raises(SlamsError, match=r"lost\.png is not there"):
            write(tmp_path, figures=lost)

    def test_figure_of_another_kind(self, tmp_path):
        write(tmp_path)
        other = [{"path": tmp_path / "ablation.pdf", "caption": "", "alt": ""}]
        with pytest.raises(SlamsError, match=r"ablation\.pdf is not a PNG"):
            write(tmp_path, figures=other)

    def test_no_score(self, tmp_path):
        with pytest.raises(SlamsError, match="no score to report"):
            write(tmp_path, scores=scores_of().iloc[:0])


class TestHeadline:
    def test_interpolation_of_other_observations_stands_beside(self):
        scores = scores_of()
        other = (scores["arm"] == "latent-stations") & (scores["method"] == "interpolation")
        scores.loc[other, "value"] *= 0.5
        row = report.headline(scores, "crps")[0]
        assert row.label == "coarse 4"
        assert row.entries["latent-stations"].own_interpolation == pytest.approx(0.45)
        assert row.entries["latent-imagery"].own_interpolation is None
        assert row.entries["interpolation"].value == pytest.approx(0.9)

    def test_a_baseline_may_be_best(self):
        scores = scores_of()
        scores.loc[scores["method"] == "climatology", "value"] = 0.01
        for row in report.headline(scores, "crps"):
            assert [name for name, e in row.entries.items() if e and e.best] == ["climatology"]

    def test_an_arm_without_background_has_its_own_row(self):
        rows = report.headline(scores_of(), "crps")
        assert rows[0].entries["latent-no-background"] is None
        assert rows[-1].label == "no background"
        assert rows[-1].entries["latent-no-background"].best
        assert rows[-1].entries["interpolation"].value == pytest.approx(2.4)


class TestTerminal:
    def test_fits_and_holds_the_numbers(self):
        text = report.summary_table(scores_of())
        assert max(map(len, text.splitlines())) <= 110
        line = next(line for line in text.splitlines() if line.startswith("coarse 4"))
        assert re.findall(r"[\d.]+\*?|·", line)[1:] == [
            *("0.70", "0.63", "0.56", "0.49", "0.42*", "·", "0.90", "2.60"),
        ]

    def test_many_arms_continue_in_another_block(self):
        text = report.summary_table(scores_of([f"latent-with-something-{i}" for i in range(20)]))
        assert max(map(len, text.splitlines())) <= 110
        assert text.count("coarse 4") > 1

    def test_unknown_score(self):
        with pytest.raises(SlamsError, match="no score skill"):
            report.summary_table(scores_of(), "skill")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium")
class TestBrowser:
    def browse(self, page: Path, profile: Path, *options: str) -> subprocess.CompletedProcess:
        quiet = (
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--disable-dev-shm-usage", "--hide-scrollbars", "--enable-logging=stderr"),
        )
        command = [str(BROWSER), *quiet, f"--user-data-dir={profile}", *options, page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    def test_no_console_error_and_no_overflow(self, folder, tmp_path):
        """A frame of each width measures itself: headless windows have a least width of 500."""
        text = (folder / "report.html").read_text(encoding="utf-8")
        probe = """<script>addEventListener("load", () => { const d = document.documentElement;
            const seen = [...document.images].every(i => i.complete && i.naturalWidth > 0
              && i.getBoundingClientRect().width > 300);
            parent.postMessage(`${innerWidth} ${d.scrollWidth} ${seen}`, "*"); });</script>"""
        (tmp_path / "report.html").write_text(text.replace("</body>", probe + "</body>"))
        frames = "".join(
            f'<iframe src="report.html" width="{width}" height="900" style="border:0"></iframe>'
            for width in (400, 1280)
        )
        host = tmp_path / "host.html"
        host.write_text(
            "<!DOCTYPE html><title>h</title><pre></pre>"
            '<script>addEventListener("message", e => {'
            'document.querySelector("pre").textContent += e.data + ";"; });</script>' + frames
        )
        done = self.browse(
            host,
            tmp_path / "profile",
            "--dump-dom",
            "--virtual-time-budget=20000",
            "--window-size=1800,1000",
        )
        found = re.search(r"<pre>(.*?)</pre>", done.stdout).group(1)
        measured = sorted(found.strip(";").split(";"))
        assert measured == ["1280 1280 true", "400 400 true"]
        assert "CONSOLE" not in done.stderr
