"""The report: complete, self-contained, and looked at by a browser where there is one."""

import base64
import re
import shutil
import subprocess
from functools import cache
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from figures.made import REJECTED, cell_of, comparisons_of, residuals, scores_of
from PIL import Image

from slams import figures, report
from slams.errors import SlamsError
from slams.report.findings import Numbers, finding

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
COSTS = pd.DataFrame(
    {
        "rule": ["train_prior", "assimilate_cell", "regrid"],
        "jobs": [2, 31, 3],
        "seconds": [180.0, 260.5, 12.0],
        "cpu_seconds": [350.0, 250.0, 9.5],
        "max_rss_MB": [900.0, 1100.0, np.nan],
    }
)


COUNTS = pd.DataFrame(
    {
        "arm": ["latent-both"] * 4,
        "stream": ["background", "stations"] * 2,
        "used": [4000, 900, 4000, 850],
        "refused": [0, 10, 0, 40],
        "deweighted": [0, 30, 0, 25],
    }
)


@cache
def curves() -> tuple[bytes, bytes]:
    """A figure as PDF and PNG, drawn once."""
    with TemporaryDirectory() as folder:
        pdf, png = figures.save(figures.ablation_curves(scores_of()), Path(folder) / "curves")
        return pdf.read_bytes(), png.read_bytes()


def described(folder: Path, stem: str, section: str = "Ablation curves", **more: object) -> dict:
    """A figure as the workflow describes it."""
    pdf, picture = (folder / f"{stem}{suffix}" for suffix in (".pdf", ".png"))
    for path, drawn in zip((pdf, picture), curves(), strict=True):
        path.write_bytes(drawn)
    texts = {"title": f"Title of {stem}", "caption": "CRPS & axes. More.", "finding": "Seven."}
    return {"path": picture, "section": section, "alt": 'Curves of "CRPS"', **texts, **more}


def film(folder: Path) -> Path:
    """A picture that moves."""
    frames = [Image.new("P", (600, 300), color) for color in (0, 90)]
    frames[0].save(folder / "film.gif", save_all=True, append_images=frames[1:], duration=300)
    return folder / "film.gif"


def write(folder: Path, **changes: object) -> Path:
    """A report as the rule would write it, with what is given changed."""
    scores = scores_of(stations=True)
    content: dict = {
        "title": "Model planet <demo>",
        "notes": ["40 fields train no prior worth the name."],
        "scores": scores,
        "comparisons": comparisons_of(scores),
        "figures": [
            described(folder, "ablation"),
            described(folder, "animation", "Maps and places", animation=film(folder)),
            described(folder, "later"),
        ],
        "counts": COUNTS,
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
                pictures = tuple(f"data:image/{kind};base64," for kind in ("png", "gif"))
                assert target.startswith(("#", *pictures))
        assert not page.of("link") and not page.of("iframe")

    def test_says_all_it_should(self, page):
        text = " ".join(page.text.split())
        for said in (
            "Model planet <demo>",
            "40 fields train no prior worth the name.",
            "Figure 1. Title of ablation. CRPS & axes. More. What it shows: Seven.",
            "Figure 2. Title of later.",
            "Figure 3. Title of animation.",
            "missing value",
            "10,200",
            "train_prior",
            "ab" * 32,
            "coarse 20",
            "no background",
            "a smaller CRPS than optimal interpolation (OI) in 56 of 56 cells, than the LETKF in ",
            "than interpolation in 56 of 56 cells, than climatology in 56 of 56 cells",
            "Held-out stations",
            "processor seconds",
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
        # Four tables, two of them of the stations, of eleven axis values and one row without.
        assert len(best) == 4 * 12

    def test_marks_the_best_that_stands_beside(self, tmp_path):
        """The optimal interpolation of two arms' own observations, the least of every row."""
        scores = scores_of()
        other = scores["arm"].isin(["latent-stations", "latent-both"]) & (scores["method"] == "oi")
        scores.loc[other, "value"] = 0.01
        lean = Page(write(tmp_path, scores=scores, figures=[]).read_text(encoding="utf-8"))
        # Two tables of eleven axis values; the row without a background has but its own arm.
        assert [small.get("class") for small in lean.of("small")].count("best") == 2 * 2 * 11
        assert [cell.get("class") for cell in lean.of("td")].count("best") == 2

    def test_without_the_optional_parts(self, tmp_path):
        nothing = {"comparisons": None, "counts": None, "rejected": None, "costs": None}
        lean = write(tmp_path, scores=scores_of(), notes=[], figures=[], provenance={}, **nothing)
        text = Page(lean.read_text(encoding="utf-8")).text
        assert "No station file was read" in text and "No benchmark was recorded" in text
        for absent in ("Held-out", "Paired comparisons", "Quality control"):
            assert absent not in text

    def test_nothing_rejected_is_not_nothing_read(self, tmp_path):
        page = write(tmp_path, scores=scores_of(), figures=[], rejected=REJECTED.iloc[:0])
        assert "No observation was rejected" in page.read_text(encoding="utf-8")

    def test_what_became_of_the_observations_is_summed_over_cells(self, page):
        text = " ".join(page.text.split())
        assert "latent-bothbackground8,00000" in text
        assert f"latent-bothstations1,7505550{100 * 50 / 1800:.2f}" in text

    def test_comparisons_are_counted_by_what_is_sure(self, tmp_path):
        table = comparisons_of(scores_of(["a", "b"], {"coarse": [4.0, 8.0]}, no_background=False))
        sure = table.assign(lower=-3.0, upper=-1.0)
        text = " ".join(Page(write(tmp_path, comparisons=sure).read_text("utf-8")).text.split())
        assert "bOI2200" in text and "barm a2200-10.0-10.0 to -10.0" in text
        unsure = table.assign(lower=-1.0, upper=1.0)
        text = " ".join(Page(write(tmp_path, comparisons=unsure).read_text("utf-8")).text.split())
        assert "barm a2020" in text

    def test_what_moves_stands_still_for_who_asks_for_it(self, page):
        sources = page.of("source")
        assert len(sources) == 1 and "prefers-reduced-motion: reduce" in sources[0]["media"]
        assert sources[0]["srcset"].startswith("data:image/png;base64,")
        assert page.of("img")[2]["src"].startswith("data:image/gif;base64,")

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


class TestPictures:
    def test_missing_figure(self, tmp_path):
        lost = [described(tmp_path, "lost")]
        lost[0]["path"].unlink()
        with pytest.raises(SlamsError, match=r"lost\.png is not there"):
            write(tmp_path, figures=lost)

    def test_figure_of_another_kind(self, tmp_path):
        one = described(tmp_path, "one")
        with pytest.raises(SlamsError, match=r"one\.pdf is not a PNG"):
            write(tmp_path, figures=[one | {"path": tmp_path / "one.pdf"}])
        with pytest.raises(SlamsError, match=r"one\.pdf is not a GIF"):
            write(tmp_path, figures=[one | {"animation": tmp_path / "one.pdf"}])

    def test_all_together_stay_within_a_bound(self, tmp_path):
        """In fewer colours first, which are nearly the same; then in fewer pixels."""
        paths = [described(tmp_path, name) for name in ("a", "b")]
        size = paths[0]["path"].stat().st_size
        whole = report.embedded(paths, 2 * size)
        assert [self.opened(f).mode for f in whole] == ["RGBA", "RGBA"]
        fewer = report.embedded(paths, round(1.5 * size))
        assert sorted(self.opened(f).mode for f in fewer) == ["P", "RGBA"]
        one, other = (np.asarray(self.opened(f).convert("RGB"), int) for f in fewer)
        assert abs(one - other).max() < 32
        smaller = report.embedded(paths, round(0.4 * size))
        assert sum(len(base64.b64decode(f["data"])) for f in smaller) <= 0.4 * size
        assert all(int(f["width"]) == self.opened(f).width for f in smaller)
        assert min(int(f["width"]) for f in smaller) >= 640
        with pytest.raises(SlamsError, match="cannot be brought to 1,000"):
            report.embedded(paths, 1000)

    def test_one_that_cannot_be_made_smaller_does_not_keep_others_from_it(self, tmp_path):
        narrow, wide = (described(tmp_path, name) for name in ("narrow", "wide"))
        rng = np.random.default_rng(0)
        speckled = rng.integers(0, 256, (450, 640, 3), np.uint8)
        Image.fromarray(speckled).save(narrow["path"])
        size = wide["path"].stat().st_size
        (least,) = report.embedded([narrow], 640 * 450 * 6.5 / 8)  # 64 colours: 6 bits a pixel
        least = len(base64.b64decode(least["data"]))
        assert least > size
        found = report.embedded([narrow, wide], least + round(0.6 * size))
        assert int(found[0]["width"]) == 640
        assert len(base64.b64decode(found[1]["data"])) <= 0.6 * size

    def test_pale_surfaces_keep_their_colour(self, tmp_path):
        """A grey band must not turn pink for the many colours of a map beside it."""
        rng = np.random.default_rng(0)
        pixels = np.full((300, 700, 3), 255, np.uint8)
        pixels[:150, :350] = rng.integers(0, 256, (150, 350, 3))  # more than 256 colours
        pixels[290:] = 252  # nearly white: not to be taken for it
        bands = [(235, 235, 235), (253, 242, 222), (0, 114, 178)]
        for number, colour in enumerate(bands):
            pixels[160 + 40 * number : 190 + 40 * number] = colour
        figure = described(tmp_path, "bands")
        Image.fromarray(pixels).save(figure["path"])
        (small,) = report.embedded([figure], figure["path"].stat().st_size // 2)
        found = self.opened(small)
        assert found.mode == "P" and found.size == (700, 300)
        shown = np.asarray(found.convert("RGB"), int)
        for number, colour in enumerate(bands):
            assert tuple(shown[175 + 40 * number, 600]) == colour
        assert tuple(shown[100, 600]) == (255, 255, 255)

    @staticmethod
    def opened(figure):
        return Image.open(BytesIO(base64.b64decode(figure["data"])))

    def test_no_score(self, tmp_path):
        with pytest.raises(SlamsError, match="no score to report"):
            write(tmp_path, scores=scores_of().iloc[:0])


class TestFindings:
    def finding(self, stem, cell=None, **changes):
        scores = changes.pop("scores", scores_of())
        numbers = report.Numbers(scores, comparisons_of(scores), residuals(), **changes)
        return report.finding(stem, numbers, cell)

    def test_who_is_best_along_the_axes(self):
        assert self.finding("ablation-crps") == (
            "Of 12 axis values the smallest CRPS is that of latent-both in 11, "
            "latent-no-background in 1."
        )
        worse = scores_of()
        worse.loc[worse["method"] == "oi", "value"] = 0.01
        assert self.finding("ablation-rmse", scores=worse).endswith("RMSE is that of OI in 12.")
        assert self.finding("levels-crps").startswith("Of 72 axis values and levels")

    def test_how_well_calibrated(self):
        said = self.finding("ablation-spread_skill")
        assert said.startswith("The arms' ratio lies between 0.9 and 1.1 in 0 of 56 cells; ")
        assert said.endswith("the smallest is 0.83, the largest 0.83.")

    def test_pairs(self):
        said = self.finding("comparisons")
        # Half-widths of 0.1 against differences of 0.07 and more.
        assert re.match(r"Against OI the interval lies below zero \(better\) in \d+ of 56", said)
        assert "Against the reference arm" in said

    def test_one_cell(self):
        cell = ("coarse", 4.0)
        assert "(latent-both, 1000 hPa)" in self.finding("profiles-coarse", cell)
        assert self.finding("ranks-coarse", cell).startswith(
            "Flatness is rejected at 5 % in 30 of 30"
        )
        assert "pixel-background none, " in self.finding("spectra-coarse", cell)
        lost = scores_of()
        small = (lost["score"] == "power_ratio") & (lost["bin"] >= 7)
        lost.loc[small, "value"] = 0.4
        assert "pixel-background 7, " in self.finding("spectra-coarse", cell, scores=lost)

    def test_operators(self):
        said = self.finding("operators")
        assert re.fullmatch(
            r"Actual over .*: stations (0\.9|1\.0)\d, imagery (0\.9|1\.0)\d\.", said
        )

    def test_what_a_picture_says_by_itself(self):
        assert self.finding("maps-latent-both") == self.finding("climate") == ""

    def test_the_alternative_text_says_what_is_drawn(self, tmp_path):
        entry = {"section": "A", "title": "CRPS", "caption": "The CRPS. More.", "cell": None}
        numbers = report.Numbers(scores_of())
        found = report.described(entry, tmp_path / "climate.png", numbers)
        assert found["alt"] == "CRPS: The CRPS." and found["animation"] is None


def test_counts_come_from_the_analyses(tmp_path):
    analysis, _ = cell_of(cases=3)
    analysis.to_netcdf(tmp_path / "analysis.nc")
    table = report.counts([tmp_path / "analysis.nc"])
    assert table.to_dict("list") == {
        "arm": ["latent-both"] * 2,
        "stream": ["background", "stations"],
        "used": [300, 300],
        "refused": [9, 9],
        "deweighted": [15, 15],
    }


def test_costs_are_summed_by_rule(tmp_path):
    (tmp_path / "train").mkdir()
    head = "s\th:m:s\tmax_rss\tcpu_time\n"
    (tmp_path / "train" / "a.tsv").write_text(head + "2.0\t0:00:02\t100.0\t3.0\n")
    (tmp_path / "train" / "b.tsv").write_text(head + "1.0\t0:00:01\t-\t0.5\n")
    (tmp_path / "merge.tsv").write_text(head + "0.5\t0:00:00\t50.0\t0.4\n")
    table = report.costs(tmp_path).set_index("rule")
    assert table.loc["train"].to_list() == [2, 3.0, 3.5, 100.0]
    assert table.loc["merge", "jobs"] == 1
    assert report.costs(tmp_path / "nothing") is None


class TestHeadline:
    def test_the_optimal_interpolation_of_other_observations_stands_beside(self):
        scores = scores_of()
        other = (scores["arm"] == "latent-stations") & (scores["method"] == "oi")
        scores.loc[other, "value"] *= 0.5
        row = report.headline(scores, "crps")[0]
        assert row.label == "coarse 4"
        entry = row.entries["latent-stations"]
        assert (entry.own_name, entry.own) == ("OI", pytest.approx(0.385))
        assert row.entries["latent-imagery"].own is None
        assert row.entries["oi"].value == pytest.approx(0.77)

    def test_it_may_be_the_best_of_the_row_and_is_said_to_be(self):
        scores = scores_of()
        other = scores["arm"].isin(["latent-stations", "latent-both"]) & (scores["method"] == "oi")
        scores.loc[other, "value"] = 0.01
        row = report.headline(scores, "crps")[0]
        best = {name for name, entry in row.entries.items() if entry and entry.best}
        own = {name for name, entry in row.entries.items() if entry and entry.own_best}
        assert not best and own == {"latent-stations", "latent-both"} & set(row.entries)
        said = report.summary_table(scores)
        assert "best of the row by OI" in said and re.search(r"\d°", said)
        assert "OI in" in finding("ablation-crps", Numbers(scores))

    def test_without_one_the_interpolation_does(self):
        scores = scores_of()
        scores = scores[~scores["method"].isin(["oi", "letkf"])]
        other = (scores["arm"] == "latent-stations") & (scores["method"] == "interpolation")
        scores.loc[other, "value"] *= 0.5
        row = report.headline(scores, "crps")[0]
        entry = row.entries["latent-stations"]
        assert (entry.own_name, entry.own) == ("interpolation", pytest.approx(0.49))
        assert list(row.entries)[-2:] == ["climatology", "interpolation"]

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
        assert rows[-1].entries["interpolation"].value == pytest.approx(1.4 * 0.7 + 1.2)

    def test_stations_have_a_table_of_their_own(self):
        assert report.headline(scores_of(), "crps", "2 m") == []
        assert len(report.headline(scores_of(stations=True), "crps", "2 m")) == 12


class TestTerminal:
    def test_fits_and_holds_the_numbers(self):
        text = report.summary_table(scores_of())
        assert max(map(len, text.splitlines())) <= 110
        lines = [line for line in text.splitlines() if line.startswith("coarse 4")]
        assert [re.findall(r"[\d.]+\*?|·", line)[1:] for line in lines] == [
            ["0.70", "0.63", "0.56", "0.49", "0.42*", "·"],
            ["2.60", "0.98", "0.77", "0.84"],
        ]
        # Arms and baselines are apart, and it is said what the latter know.
        heads = text.split("\n\n")[1:]
        assert len(heads) == 2 and "OI" not in heads[0] and "latent" not in heads[1]
        assert "of the row's first arm" in text

    def test_no_zero_is_below_zero(self):
        assert report.number(-0.004) == "0.00" and report.number(-0.006) == "-0.01"

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

    @pytest.mark.parametrize(
        ("options", "still"),
        [((), "false"), (("--force-prefers-reduced-motion", "--force-dark-mode"), "true")],
    )
    def test_no_console_error_and_no_overflow(self, folder, tmp_path, options, still):
        """A frame of each width measures itself: headless windows have a least width of 500."""
        text = (folder / "report.html").read_text(encoding="utf-8")
        probe = """<script>addEventListener("load", () => { const d = document.documentElement;
            const whole = i => { const box = i.getBoundingClientRect();
              return i.complete && i.naturalWidth > 0 && box.width > 300
                && box.right <= innerWidth; };
            const seen = [...document.images].every(whole);
            const buttons = [...document.querySelectorAll("figure button")].filter(b => !b.hidden);
            buttons.forEach(b => b.click());
            const large = [...document.querySelectorAll(".enlarged img")]
              .filter(i => i.getBoundingClientRect().width === Number(i.getAttribute("width")))
              .length;
            const still = document.images[2].currentSrc.startsWith("data:image/png");
            parent.postMessage(`${innerWidth} ${d.scrollWidth} ${seen} ${large} ${still}`, "*");
            });</script>"""
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
            *options,
        )
        found = re.search(r"<pre>(.*?)</pre>", done.stdout).group(1)
        measured = sorted(found.strip(";").split(";"))
        # On the narrow screen all pictures are smaller than they are, and can be enlarged.
        assert measured == [f"1280 1280 true 0 {still}", f"400 400 true 3 {still}"]
        assert "CONSOLE" not in done.stderr
