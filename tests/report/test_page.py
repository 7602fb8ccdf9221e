"""The page is whole, self-contained and readable, whatever the state of the runs; its figures are files too."""

from __future__ import annotations

import io
import json
import re
import shutil
import statistics
import subprocess
import time
from pathlib import Path

import pytest
from scipy import stats

from darts_pt.commands.command_line import run_command
from nasbench201 import projection
from nasbench201.space import NasBench201SelectionOptions
from report import page as page_module
from report.page import PageOptions
from report.run_figures import run_pictures
from report.style import DARK, darkened, render, themed
from runs.reading import read_run
from tests.helpers.page_checks import check_page
from tests.helpers.written_runs import write_search, write_selection

NAME = "search-darts-201-1-digits"


def report(root: Path, *arguments: str) -> Path:
    output = root.parent / "report"
    arguments = (*arguments, "--experiments", str(root), "--output", str(output))
    run_command(PageOptions, page_module.main, arguments)
    return output


@pytest.fixture(scope="module")
def made(made_runs: Path) -> Path:
    """A report on all runs; tests only read it."""
    return report(made_runs, "--formats", "png")


def test_the_page_is_whole_and_shows_every_run(made: Path, made_runs: Path) -> None:
    html = (made / "index.html").read_text()
    page = check_page(html)
    for run in (made_runs / "nasbench201").rglob("metrics.jsonl"):
        assert run.parent.name in page.text
    for said in ("Accuracy", "Loss", "Mixing weights over the epochs", "Operation events", "As the cells were decided"):
        assert said in page.text
    alts = " ".join(image["alt"] or "" for image in page.all("img"))
    last = json.loads((made_runs / "nasbench201" / NAME / "metrics.jsonl").read_text().splitlines()[-1])
    assert f"{last['values']['valid_accuracy']:.4g} %" in alts


def test_every_event_is_there_with_all_its_scores(made: Path, made_runs: Path) -> None:
    text = re.sub(r"\s+", " ", check_page((made / "index.html").read_text()).text)
    (folder,) = (path.parent for path in (made_runs / "nasbench201" / NAME).glob("log_resume-2-pt-*/metrics.jsonl"))
    events = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    scored = [event["values"] for event in events if event["kind"] == "operation_event"]
    assert len(scored) == 6
    for values in scored:
        pairs = zip(values["candidates"], values["accuracy"], strict=True)
        assert ", ".join(f"{name} {value:.4g}" for name, value in pairs) in text


def test_the_command_repeats_the_run(made: Path, made_runs: Path) -> None:
    text = check_page((made / "index.html").read_text()).text
    repeated = re.findall(r"To repeat it(python -m nasbench201\.projection .*?)(?:It was started by|\n)", text)
    (command,) = [line for line in repeated if "--selection magnitude" in line]
    words = [*command.split()[3:], "--experiments", str(made_runs), "--log_tag", "again"]
    run_command(NasBench201SelectionOptions, projection.main, words)
    first, again = sorted((made_runs / "nasbench201" / NAME).glob("log_resume-2-magnitude*/genotype.json"))
    assert first.read_bytes() == again.read_bytes()
    shutil.rmtree(again.parent if again.parent.name.endswith("again") else first.parent)


def test_figures_are_files_in_every_format(root: Path) -> None:
    report(root, NAME, "--details", "1", "--formats", "png", "svg", "pdf")
    figures = root.parent / "report" / "figures" / NAME
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    for name in ("accuracy", "loss", "alpha-cell"):
        for ending, start in starts.items():
            assert (figures / f"{name}.{ending}").read_bytes().startswith(start)


def test_a_page_is_made_of_broken_runs_too(root: Path) -> None:
    folder = root / "nasbench201" / NAME
    (folder / "metrics.jsonl").write_text('{"kind": "epoch", "epo')
    (folder / "config.json").write_text("not json")
    (root / "empty").mkdir()
    (root / "empty" / "metrics.jsonl").write_text("")
    page = check_page((report(root, "--formats", "png") / "index.html").read_text())
    assert "What is missing" in page.text
    for said in ("line 1 is not whole", "config.json is damaged", "has not finished its first epoch"):
        assert said in page.text


def test_infinite_losses_and_odd_names_do_no_harm(root: Path) -> None:
    old = root / "nasbench201" / NAME
    folder = old.rename(old.with_name("search-<b>&\"'"))
    path = folder / "metrics.jsonl"
    path.write_text(path.read_text().replace('"valid_loss": ', '"valid_loss": "nan", "x": '))
    page = check_page((report(root, "--formats", "png", "--details", "1") / "index.html").read_text())
    assert "search-<b>&\"'" in page.text


def test_thousands_of_runs_fit_on_a_page(tmp_path: Path) -> None:
    for seed in range(250):
        for space in ("nasbench201", "s2"):
            searched = write_search(tmp_path / "experiments", space, "darts", seed)
            for selection in ("pt", "magnitude"):
                write_selection(searched, space, "darts", selection, seed, 90 + seed % 7)
    began = time.process_time()
    path = report(tmp_path / "experiments", "--details", "0", "--formats", "png") / "index.html"
    assert time.process_time() - began < 20
    page = check_page(path.read_text())
    assert len(page.all("tr")) > 1500
    assert path.stat().st_size < 1500 * 1200  # Bytes a row.


ACCURACIES = {
    ("darts", "magnitude"): (85.0, 87.5, 86.0, 88.0, 84.5),
    ("darts", "pt"): (90.0, 91.5, 89.0, 92.0, 90.5),
    ("blank", "pt"): (93.0, 92.5, 93.5, 94.0, 92.0),
}


def test_three_methods_of_five_seeds_stand_side_by_side_in_each_space(tmp_path: Path) -> None:
    for space in ("nasbench201", "s2"):
        for seed in range(5):
            searched = {m: write_search(tmp_path / "experiments", space, m, seed) for m in ("darts", "blank")}
            for (method, selection), values in ACCURACIES.items():
                write_selection(searched[method], space, method, selection, seed, values[seed])
    page = check_page((report(tmp_path / "experiments", "--details", "0") / "index.html").read_text())
    assert "20 searches, 30 selections; space: NAS-Bench-201, S2; data: digits." in page.text
    text = re.sub(r"\s+", "", page.text)
    headings = ["NAS-Bench-201,digits(4channels,1cellperstage)", "S2,digits(4channels,3layers)"]
    parts = re.split("|".join(map(re.escape, headings)), text)
    assert len(parts) == 3
    magnitude = ACCURACIES["darts", "magnitude"]
    for label, values in zip(("DARTS(magnitude)", "DARTS+PT", "fixalpha+PT"), ACCURACIES.values(), strict=True):
        table = f"{statistics.fmean(values):.2f}±{statistics.stdev(values):.2f}{max(values):.2f}"
        valid = f"{statistics.fmean(values) - 5:.2f}±{statistics.stdev(values):.2f}{max(values) - 5:.2f}"
        p = stats.ttest_rel(values, magnitude).pvalue if values != magnitude else None
        test = "" if p is None else f"p{'<0.001' if p < 0.001 else f'={p:.3f}'}(pairedt-test,5seeds)"
        assert f"{label}5{table}{valid}{test}" in parts[1]
        assert f"{label}5{valid}{test}" in parts[2]
    assert any("fix alpha + PT 93.00 ± 0.79 over 5 seeds" in (image["alt"] or "") for image in page.all("img"))


def test_spaces_mixed_with_runs_that_broke_off_make_one_page(tmp_path: Path) -> None:
    root = tmp_path / "experiments"
    whole, half, none = (write_search(root, space, "darts", n) for n, space in enumerate(("nasbench201", "s2", "s2")))
    write_selection(half, "s2", "darts", "pt", 1, 90.0)
    text = (half / "metrics.jsonl").read_text()
    (half / "metrics.jsonl").write_text(text[: -len(text) // 5])
    (none / "metrics.jsonl").unlink()
    (none / "genotype.json").unlink()
    page = check_page((report(root, "--details", "1", "--formats", "png") / "index.html").read_text())
    assert "line 3 is not whole and was left out" in page.text
    assert "no metrics.jsonl: the run has measured nothing" in page.text
    assert page.text.count("incomplete") == 2
    assert all(folder.name in page.text for folder in (whole, half, none))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such"], "no such experiment"),
        (["--details", "-1"], "--details: expected a number from 0 to 1000"),
        (["--formats", "gif"], "gif"),
    ],
)
def test_bad_input_is_one_line(
    root: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:  # fmt: skip
    with pytest.raises(SystemExit) as end:
        report(root, *arguments)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (root.parent / "report").exists()


PROBE = """<script>addEventListener("load", () => {
  const broken = [...document.images].filter(image => !image.naturalWidth).length;
  const lost = [...document.querySelectorAll('a[href^="#"]')].filter(a => !document.querySelector(a.hash)).length;
  const wide = document.documentElement.scrollWidth > innerWidth;
  document.body.dataset.probe = `images ${document.images.length} broken ${broken} lost ${lost} wide ${wide}`;
});</script></body>"""


@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_shows_it(made: Path, tmp_path: Path, width: int) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium on this machine")
    path = tmp_path / "probed.html"
    path.write_text((made / "index.html").read_text().replace("</body>", PROBE))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update", "--virtual-time-budget=20000"]
    flags += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900", "--enable-logging=stderr"]
    run = subprocess.run(
        [browser, *flags, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )  # fmt: skip
    found = re.search(r'data-probe="images (\d+) broken (\d+) lost (\d+) wide (\w+)"', run.stdout)
    assert found, run.stderr[-2000:]
    assert int(found[1]) > 5
    assert found.groups()[1:] == ("0", "0", "false")
    assert "CONSOLE" not in run.stderr


def test_the_page_opens_on_methods_and_on_what_pt_gains_in_the_same_supernets(tmp_path: Path) -> None:
    pairs = ((94.0, 91.0), (95.5, 95.0), (93.0, 94.0))
    root = tmp_path / "experiments"
    for seed, (ours, theirs) in enumerate(pairs):
        write_selection(
            write_search(root, "nasbench201", "darts", seed), "nasbench201", "darts", "pt", seed, ours, theirs
        )
    output = report(root, "--formats", "png", "--details", "2")
    text = check_page((output / "index.html").read_text()).text
    assert text.index("Methods side by side", text.index("data: ")) < text.index("All runs", text.index("Mean ±"))
    gains = [ours - theirs for ours, theirs in pairs]
    p = stats.ttest_1samp(gains, 0.0).pvalue
    assert f"{statistics.fmean(gains):+.2f} ± {statistics.stdev(gains):.2f} (p = {p:.3f}, 3 seeds)" in text
    facts = json.loads((output / "figures" / "methods" / "methods-1.json").read_text())
    assert [(row["table"], row["table_of_magnitude_from_the_same_supernet"], row["test"]) for row in facts["rows"]] == [
        (*pair, None) for pair in pairs
    ]
    closing = text[text.index("What was selected, beside magnitude") :].split()
    assert closing[4] == "magnitude"
    assert closing[5:7] == ["PTmagnitudedifference", "digits"]
    assert closing[7] == "test94.0091.00+3.00"


def test_trained_and_looked_up_accuracies_have_columns_of_their_own(tmp_path: Path) -> None:
    root = tmp_path / "experiments"
    write_selection(write_search(root, "nasbench201", "darts", 1), "nasbench201", "darts", "pt", 1, 94.0)
    folder = root / "nasbench201" / "eval" / "digits-1"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"options": {"arch": "x", "dataset": "digits", "seed": 1}}')
    (folder / "metrics.jsonl").write_text('{"kind": "epoch", "epoch": 1, "values": {"test_accuracy": 97.25}}')
    (folder / "summary.json").write_text('{"architecture": "x", "test_accuracy": 97.25}')
    page = check_page((report(root, "--formats", "png", "--details", "0") / "index.html").read_text())
    cells = [cell.get("data-label") for cell in page.all("td")]
    assert cells.count("trained %") == cells.count("table %") == 3
    html = (root.parent / "report" / "index.html").read_text()
    assert re.findall(r'data-label="trained %">([\d.]+)<', html) == ["97.25"]
    assert re.findall(r'data-label="table %">([\d.]+)<', html) == ["94.00"]


def test_a_dark_page_has_its_own_colours(root: Path) -> None:
    picture = run_pictures(read_run(root / "nasbench201" / NAME))[0]
    light = render(picture, "svg")
    with themed(DARK):
        drawn = io.BytesIO()
        picture.draw(DARK).savefig(drawn, format="svg")

    def colours(svg: bytes) -> set[bytes]:
        return set(re.findall(rb"#[0-9a-f]{6}\b", svg))

    assert colours(darkened(light)) == colours(drawn.getvalue()) != colours(light)


def test_a_run_of_a_users_own_model_has_its_names(tmp_path: Path) -> None:
    folder = tmp_path / "pt-of-mine"
    folder.mkdir()
    options = {"selection": "pt", "method": "darts", "criterion": "loss", "space": "MyNet", "seed": 0}
    (folder / "config.json").write_text(json.dumps({"options": options}))
    cell, shares = "cell (2 candidates, 1 inputs kept)", {"conv": 0.5, "mean": 0.5}
    values: list[dict[str, object]] = [
        {"event": 0, "edge": 1, "kept": "conv", "candidates": ["conv", "mean"], "loss": [2.0, 1.0]},
        {"event": 1, "node": 7, "kept": [1], "rounds": [{"edges": [0, 1], "dropped": 0, "loss": [1.0, 2.0]}]},
        {"mixing_weights": {cell: {"0:node 3[0]": shares, "1:node 3[1]": shares}}},
    ]
    kinds = ("operation_event", "topology_event", "epoch")
    lines = [{"kind": k, "epoch": 1, "values": {"cell_type": cell, **v}} for k, v in zip(kinds, values, strict=True)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run_command(PageOptions, page_module.main, [str(folder), "--output", str(tmp_path / "report")])
    text = check_page((tmp_path / "report" / "index.html").read_text()).text
    assert "pt-of-mine" in text
    assert "MyNet" in text
    for said in ("conv 2, mean 1", "node 3[0] 1, node 3[1] 2", "Operation events, 2 candidates, 1 inputs kept"):
        assert said in text
    assert "node 7" not in text
    assert "unknown" not in text
