"""A run as Markdown and as a page: complete, within its bounds, and safe whatever its cases hold."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from evals.answer_diff import Piece, answer_diff
from evals.baselines import Baseline
from evals.html import html
from evals.interval import pass_rate
from evals.kept_runs import KeptRun, RunEntry
from evals.markdown import MAX_CHARACTERS, markdown
from evals.run import CaseRun, RunReport
from gateway.replay import CaseOutcome, CaseReplay, PairedTest, PrefixCost, ReplayReport

OLD = "SELECT count(*) FROM orders WHERE state = 'cancelled'"
NEW = "SELECT count(*) FROM orders WHERE status = 'cancelled'"
EVIL = "</pre><script>alert(1)</script> @everyone ```\n# title [x](http://evil) \x00`"
GATE = ReplayReport(
    "a" * 64,
    "b" * 64,
    "regression",
    (
        CaseReplay("better-one", "Better?", True, CaseOutcome(0, 1, "x", NEW), CaseOutcome(1, 1, "", OLD), "better"),
        CaseReplay("untouched", "Same?", False, None, None, "same", "the prompt is the same at both commits"),
        CaseReplay("lost", "Worse?", True, CaseOutcome(1, 1, "", OLD), CaseOutcome(0, 1, "y", NEW), "worse", "head: y"),
        CaseReplay("hidden", "", True, None, None, "worse", "held out", held_out=True),
        CaseReplay("away", "Away?", True, CaseOutcome(1, 1, "", OLD), None, "undecided", "head: ENGINE_FAILED: away"),
    ),
    7,
    12,
    PairedTest(4, 2, 1, 1.0, -0.25, -0.73, 0.6),
    PrefixCost(57, 39_000, 1_000, "tokens"),
)
RUN = RunReport(
    "shop",
    "shop",
    "c" * 64,
    (
        CaseRun("fallen", "Fallen?", (), "failed", 1, 3, "EMPTY_RESULT", "no row", NEW),
        CaseRun("fine", "Fine?", (), "passed", 3, 3),
        CaseRun("unasked", "Unasked?", (), "undecided", 0, 3, "ENGINE_MISSING", "no engine"),
    ),
    pass_rate(1, 2),
    6,
    held_out=2,
)
BASELINE = Baseline("shop", "shop", "run_1", "a" * 64, "ada", "2026-11-27T10:00:00+00:00")


def kept(report: RunReport | ReplayReport, *, suite: str = "shop", baseline_run: str | None = None) -> KeptRun:
    words = [case.status if isinstance(case, CaseRun) else case.verdict for case in report.cases]
    entry = RunEntry(
        id="run_2",
        kind="run" if isinstance(report, RunReport) else "gate",
        suite=suite,
        assistant="shop",
        created_at="2026-11-28T19:00:00+00:00",
        base=None if isinstance(report, RunReport) else report.base,
        commit=report.commit if isinstance(report, RunReport) else report.head,
        baseline_run=baseline_run,
        verdict=report.verdict,
        counts={word: words.count(word) for word in words},
    )
    return KeptRun(entry, report)


def in_order(text: str, *parts: str) -> bool:
    places = [text.find(part) for part in parts]
    return -1 not in places and places == sorted(places)


# ── Markdown ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_markdown_tells_the_verdict_then_the_flips_the_worst_first_then_the_cost() -> None:
    text = markdown(kept(GATE, baseline_run="run_1"), BASELINE)

    assert text.startswith(
        "### regression: `shop: aaaaaaaaaaaa → bbbbbbbbbbbb`\n\n| better | same | worse | undecided |"
    )
    assert in_order(
        text,
        "| 1 | 1 | 2 | 1 |",
        "Compared with the baseline, `run_1`, `blessed by ada on 2026-11-27`.",
        "- pass rate -25.0 points",
        "#### worse: `lost` (1/1 → 0/1)",
        f"Old answer:\n\n```sql\n{OLD}\n```",
        f"New answer:\n\n```sql\n{NEW}\n```",
        "Why: `head: y`",
        "#### worse: `hidden` (held out)",
        "#### better: `better-one` (0/1 → 1/1)",
        "#### undecided: `away` (1/1 → –)",
        "#### Cost",
        "- 7 engine calls, 12 answers from store",
        "- landing invalidates 1,000 of 40,000 tokens of shared prefix (2.5%)",
    )
    assert "untouched" not in text


def test_markdown_of_a_run_tells_what_did_not_pass() -> None:
    text = markdown(kept(RUN))

    assert in_order(text, "### failed", "- 2 held out for the gate", "`fallen` (1/3)", NEW, "EMPTY_RESULT: no row")
    assert in_order(text, "undecided: `unasked` (–)", "ENGINE_MISSING: no engine")
    assert "`fine`" not in text


def test_markdown_fits_a_comment_and_names_what_it_leaves_out() -> None:
    answer = "SELECT " + "x, " * 3_000
    side = CaseOutcome(1, 1, "", answer), CaseOutcome(0, 1, "z" * 5_000, answer)
    cases = tuple(CaseReplay(f"{'`' * 90}case-{i}", EVIL * 90, True, *side, "worse", "z" * 5_000) for i in range(200))

    text = markdown(kept(replace(GATE, cases=cases), suite="s" * 70_000))

    assert len(text) <= MAX_CHARACTERS
    assert "more characters)" in text
    assert "and 1" in text[text.index("Not shown, as they do not fit") :]
    assert text.rstrip().endswith("--html report.html`")


def test_markdown_keeps_others_text_in_code_whatever_it_holds() -> None:
    sides = CaseOutcome(1, 1, "", EVIL), CaseOutcome(0, 1, "", f"~~~\n````\n{EVIL}")
    text = markdown(kept(replace(GATE, cases=(CaseReplay(EVIL, EVIL, True, *sides, "worse", EVIL),))))

    outside = re.sub(r"(?ms)^(`{3,})sql\n.*?^\1$", "", text)
    outside = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", outside)
    assert "script" not in outside
    assert "@everyone" not in outside
    assert "evil" not in outside


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Page(HTMLParser):
    """What a browser would see: tags with their attributes, and the text of each kind of tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br"):
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes what it did not open"

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.texts[tag][-1] += data


def test_the_page_shows_plots_and_the_diff_of_every_flip() -> None:
    text = html(kept(GATE, baseline_run="run_1"), BASELINE)
    page = Page(text)

    assert page.texts["h1"] == ["regression shop: aaaaaaaaaaaa → bbbbbbbbbbbb"]
    assert "blessed by ada on 2026-11-27" in page.texts["p"][0]
    assert [line.split()[:2] for line in page.texts["h3"]] == [
        ["worse", "lost"],
        ["worse", "hidden"],
        ["better", "better-one"],
        ["undecided", "away"],
    ]
    assert page.texts["figcaption"] == [
        "base: 1 of 1 passed",
        "head: 0 of 1 passed",
        "base: 0 of 1 passed",
        "head: 1 of 1 passed",
        "base: 1 of 1 passed",
        "head: could not be judged",
    ]
    # The newline is the source's, which no browser shows. What has no counterpart is compared with nothing.
    assert page.texts["pre"] == [f"\n{answer}" for answer in (OLD, NEW, NEW, OLD, OLD)]
    assert page.texts["del"] == ["state", "status"]
    assert page.texts["ins"] == ["status", "state"]
    assert "No answer." in page.texts["p"]
    assert "landing invalidates 1,000 of 40,000 tokens" in text
    assert page.texts["th"] == ["better", "same", "worse", "undecided", "base", "head"]
    # Two judged cases passed once at base and once at head: both in the middle of the scale.
    assert [attributes["cx"] for tag, attributes in page.tags if tag == "circle"] == ["50.0%", "50.0%"]
    assert [attributes["width"] for tag, attributes in page.tags if tag == "rect"] == [
        "50.0%",
        "50.0%",
        "100.0%",
        "50.0%",
    ]


def test_the_page_says_over_which_cases_it_rates() -> None:
    told = [" ".join(text.split()) for text in Page(html(kept(GATE))).texts["p"]]

    same = "those with the same prompt at both have the same answer"
    assert f"Over the 2 judged cases that were asked at both commits; {same}." in told


def test_the_page_shows_one_answer_where_both_sides_gave_it() -> None:
    case = replace(GATE.cases[2], verdict="flaky", head=CaseOutcome(0, 1, "y", OLD))
    page = Page(html(kept(replace(GATE, cases=(case,)))))

    assert page.texts["figcaption"] == ["base and head answered the same"]
    assert page.texts["pre"] == [f"\n{OLD}"]


def test_the_page_names_the_characters_that_nobody_sees() -> None:
    case = replace(GATE.cases[2], question="a\u202eb\x00", head=CaseOutcome(0, 1, "y", "\u2066; DROP"))
    text = html(kept(replace(GATE, cases=(case,))))

    assert "a⟨U+202E⟩b⟨U+0000⟩" in text
    assert not set(text) & set("\u202e\u2066\x00")


def test_the_page_of_a_run_shows_what_did_not_pass_with_its_answer() -> None:
    page = Page(html(kept(RUN)))

    assert page.texts["pre"] == [f"\n{NEW}"]
    assert page.texts["h3"] == ["failed fallen (1/3)", "undecided unasked (–)"]
    assert "2 held out for the gate" in page.texts["li"]


def test_the_page_needs_nothing_from_anywhere() -> None:
    page = Page(html(kept(GATE)))

    names = {name for _, attributes in page.tags for name in attributes}
    assert not names & {"src", "srcset", "xlink:href", "data"}
    assert [a["href"] for _, a in page.tags if "href" in a] == ["#better", "#worse", "#undecided"]
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "img", "object"}


@pytest.mark.parametrize("field", ["id", "question", "detail", "answer", "suite"])
def test_the_page_escapes_every_text(field: str) -> None:
    evil = "</pre></style><script>alert(1)</script><img src=x onerror=alert(1)>\"'{{ 7 * 7 }}"
    case = CaseReplay("a", "b", True, CaseOutcome(1, 1, "", "c"), CaseOutcome(0, 1, "", "d"), "worse", "e")
    if field == "answer":
        case = replace(case, base=CaseOutcome(1, 1, "", evil), head=CaseOutcome(0, 1, "", f"{evil} {evil}"))
    elif field != "suite":
        case = replace(case, **{field: evil})  # type: ignore[arg-type]
    clean = Page(html(kept(replace(GATE, cases=(replace(case, id="a"),)))))

    page = Page(html(kept(replace(GATE, cases=(case,)), suite=evil if field == "suite" else "shop")))

    told = {tag for tag, _ in page.tags}
    assert told <= {tag for tag, _ in clean.tags} | {"del", "ins"}
    assert evil in "".join(page.texts["body"])


def test_the_page_of_a_gate_that_touched_nothing_says_so() -> None:
    untouched = tuple(case for case in GATE.cases if not case.prompt_changed)
    page = Page(html(kept(replace(GATE, verdict="clean", cases=untouched, paired=None, prefix=None))))

    assert "None." in page.texts["p"]
    assert page.texts["th"] == ["same"]


# ── the diff ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_diff_of_two_statements_is_the_word_that_changed() -> None:
    pieces = answer_diff(OLD, NEW)

    assert [piece for piece in pieces if piece.kind != "same"] == [Piece("removed", "state"), Piece("added", "status")]
    assert "".join(piece.text for piece in pieces if piece.kind != "added") == OLD
    assert "".join(piece.text for piece in pieces if piece.kind != "removed") == NEW
    assert answer_diff(OLD, OLD) == (Piece("same", OLD),)
    assert answer_diff("", "x") == (Piece("added", "x"),)
    assert answer_diff("", "") == ()


def test_the_diff_marks_words_that_changed_side_by_side_as_one() -> None:
    assert answer_diff("No. It is kept.", "Yes, they are kept.")[:2] == (
        Piece("removed", "No. It is"),
        Piece("added", "Yes, they are"),
    )
    assert answer_diff("a\nb", "c\nd")[2] == Piece("same", "\n")


@pytest.mark.parametrize("sign", ["👩‍👩‍👧‍👦", "👍🏽", "e\u0301", "हिन्दी"])
def test_the_diff_takes_no_sign_apart(sign: str) -> None:
    assert answer_diff(f"x {sign} y", f"x {sign[0]} y") == (
        Piece("same", "x "),
        Piece("removed", sign),
        Piece("added", sign[0]),
        Piece("same", " y"),
    )


def test_the_diff_of_long_answers_is_by_line() -> None:
    lines = [f"a{i} = {i}\n" for i in range(10_000)]
    changed = [*lines[:5_000], "other = 1\n", *lines[5_001:]]

    assert [piece for piece in answer_diff("".join(lines), "".join(changed)) if piece.kind != "same"] == [
        Piece("removed", lines[5_000]),
        Piece("added", "other = 1\n"),
    ]
