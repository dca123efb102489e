"""The page of a run as a browser shows it: at both widths and schemes, printed, without scripts, by keyboard."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from evals.html import html
from gateway.replay import CaseOutcome, CaseReplay

from .test_run_reports import EVIL, GATE, NEW, OLD, RUN, kept

LONG = "a_name_without_any_space_" * 60
RTL = "كم عدد الطلبات التي تم إلغاؤها في عام 2025؟"
HOSTILE = (
    CaseReplay(LONG, LONG, True, CaseOutcome(1, 1, "", LONG), CaseOutcome(0, 1, "", f"x{LONG}"), "worse", LONG),
    CaseReplay(EVIL, EVIL, True, CaseOutcome(1, 1, "", EVIL), CaseOutcome(0, 1, "", f"{EVIL} x"), "worse", EVIL),
    CaseReplay("rtl", RTL, True, CaseOutcome(1, 1, "", RTL), CaseOutcome(0, 1, "", f"🍕 {RTL}"), "flaky", RTL),
    CaseReplay("turned", "\u202eturned", True, CaseOutcome(1, 1, "", "a"), CaseOutcome(0, 1, "", "\u202eb"), "worse"),
)
REPORTS = {
    "gate": kept(GATE, baseline_run="run_1"),
    "hostile": kept(replace(GATE, cases=(*GATE.cases, *HOSTILE)), suite=LONG),
    "run": kept(RUN),
}
DESKTOP, PHONE = 1280, 360
# As root there is no sandbox, and nothing is to be fetched in the background.
OPTIONS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync")

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser(services: ModuleType) -> Iterator[Any]:
    """Chromium: the program that KVASIR_TEST_CHROMIUM names, else one that is installed."""
    named = os.environ.get("KVASIR_TEST_CHROMIUM")
    program = named or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        services.give_up(services.ServiceUnavailable("playwright is not installed: make setup"))
    if program is None:
        services.give_up(services.ServiceUnavailable("no Chromium here: apt-get install chromium"))
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(OPTIONS))
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Opens a report in a window of its own, with scripts switched off; the page's policy lets none run anyway."""
    contexts = []

    def opened(report: str, *, width: int = DESKTOP, scheme: str = "light", scripts: bool = False) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, java_script_enabled=scripts
        )
        contexts.append(context)
        file = tmp_path / "report.html"
        file.write_text(html(REPORTS[report]), encoding="utf-8")
        page = context.new_page()
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri())
        assert requests == [file.as_uri()]
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_the_page_is_no_wider_than_its_window(open_page: Open, report: str, width: int) -> None:
    page = open_page(report, width=width)

    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("report", ["hostile", "run"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_breaks_no_rule_of_accessibility(open_page: Open, report: str, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    # The rules themselves are a script, of the test's.
    page = open_page(report, width=PHONE, scheme=scheme, scripts=True)

    found = Axe().run(page).response
    # That it looked at colours at all: where it cannot tell the background, it passes over the text.
    assert "color-contrast" in {rule["id"] for rule in found["passes"]}
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found["violations"]] == []


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_what_a_plot_says_is_large_enough_and_overlaps_nothing(open_page: Open, width: int) -> None:
    page = open_page("gate", width=width)

    boxes = [box for text in page.locator("svg text, th, td:last-child").all() if (box := text.bounding_box())]

    assert len(boxes) > 10
    assert min(box["height"] for box in boxes if box["height"]) >= 12
    for i, one in enumerate(boxes):
        for other in boxes[i + 1 :]:
            apart = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
            assert apart or one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]


def test_answers_stand_side_by_side_where_there_is_room_and_below_each_other_on_a_phone(open_page: Open) -> None:
    def places(width: int) -> tuple[Any, Any]:
        answers = open_page("gate", width=width).locator(".panels").first.locator("pre")
        assert answers.all_inner_texts() == [OLD, NEW]
        return answers.nth(0).bounding_box(), answers.nth(1).bounding_box()

    old, new = places(DESKTOP)
    assert (old["y"], old["x"] + old["width"] < new["x"]) == (new["y"], True)
    old, new = places(PHONE)
    assert (old["x"], old["y"] + old["height"] < new["y"]) == (new["x"], True)


def test_the_keyboard_leads_from_the_plot_to_the_cases_of_a_verdict(open_page: Open) -> None:
    page = open_page("gate", width=PHONE)

    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    assert page.url.endswith("#worse")
    assert page.locator("h2#worse").bounding_box()["y"] < 100


def test_on_paper_it_is_black_on_white_whatever_the_scheme(open_page: Open) -> None:
    page = open_page("gate", scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) == "rgb(20, 23, 26)"

    page.emulate_media(media="print")

    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    assert page.pdf().startswith(b"%PDF")


def test_text_of_others_neither_runs_nor_turns_what_stands_beside_it(open_page: Open) -> None:
    page = open_page("hostile")

    assert page.title().startswith("regression: ")
    assert page.locator("script, img, iframe").count() == 0
    assert "⟨U+202E⟩turned" in page.locator("body").inner_text()
    # The question runs from right to left, its case's heading from left to right.
    assert page.get_by_text(RTL, exact=True).first.evaluate("element => getComputedStyle(element).direction") == "rtl"
    assert page.locator("h3").first.evaluate("element => getComputedStyle(element).direction") == "ltr"
