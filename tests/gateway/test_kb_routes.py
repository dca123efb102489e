"""`/v1/kb`: the knowledge base over HTTP, who may do what there, and that no tenant reaches another's."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from kb.codec import item_to_dict
from kb.items import Column, Item, Metric, Rule, Schema, Template
from kb.knowledge_base import Changes, KnowledgeBase
from kb.store import RefMove

RULE = Item("rule:utc", "Times", Rule("Times are UTC."))
STOCK = Item("schema:stock", "Stock", Schema("stock", (Column("id", "INTEGER"), Column("amount", "INTEGER"))))
SHORT = replace(STOCK, body=Schema("stock", (Column("id", "INTEGER"),)))
COUNT = Item("template:stock", "Stock", Template("How much is there?", "SELECT sum(amount) FROM stock"))
LOST = {"name": "stock.amount", "type": "INTEGER", "change": "dropped", "now": ""}


def as_json(item: Item) -> dict[str, Any]:
    """An item as it comes over HTTP."""
    found: dict[str, Any] = json.loads(json.dumps(item_to_dict(item)))
    return found


def put(base: KnowledgeBase, *items: Item, branch: str = "main") -> str:
    return base.commit(Changes(items), author="ann", message="Put items", branch=branch).id


@pytest.fixture
def base(served: Any) -> KnowledgeBase:
    """A tag `start`, a rule, a branch `draft` behind it, and a table with a query over it."""
    found: KnowledgeBase = served.core.base("default", "shop")
    found.tag("start")
    put(found, RULE)
    found.branch("draft")
    put(found, STOCK, COUNT)
    return found


def get(served: Any, path: str, expected: int = 200, /, **query: Any) -> Any:
    response = served.client.get(f"/v1/kb{path}", params=query)
    assert response.status_code == expected, response.text
    return response.json()


def post(served: Any, path: str, expected: int = 201, /, **body: Any) -> Any:
    response = served.client.post(f"/v1/kb/shop{path}", json=body)
    assert response.status_code == expected, response.text
    return response.json()


def code(answer: Any) -> str:
    return str(answer["error"]["code"])


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_tenant_s_bases_are_listed(served: Any, base: KnowledgeBase) -> None:
    assert get(served, "")["data"] == [{"object": "kvasir.knowledge_base", "name": "shop"}]


@pytest.mark.parametrize(("path", "what"), [("branches", "branch"), ("tags", "tag")])
def test_a_name_is_made_listed_and_deleted(served: Any, base: KnowledgeBase, path: str, what: str) -> None:
    names = base.branches if what == "branch" else base.tags
    before = names()
    made = post(served, f"/{path}", name="july/first", at="main~1")
    target = base.resolve("main~1").id
    assert made == {"object": f"kvasir.{what}", "name": "july/first", "commit": target}
    listed = {each["name"]: each["commit"] for each in get(served, f"/shop/{path}")["data"]}
    assert listed == names() == {**before, "july/first": target}
    assert code(post(served, f"/{path}", 409, name="july/first")) == "already_exists"
    gone = served.client.delete(f"/v1/kb/shop/{path}/july/first")
    assert gone.json() == {"object": f"kvasir.{what}", "name": "july/first", "deleted": True}
    assert names() == before
    assert served.client.delete(f"/v1/kb/shop/{path}/july/first").status_code == 404


def test_main_is_not_deleted_and_a_name_that_looks_like_a_commit_is_not_made(served: Any, base: KnowledgeBase) -> None:
    refused = served.client.delete("/v1/kb/shop/branches/main")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "name")
    assert code(post(served, "/tags", 400, name="cafe")) == "knowledge_error"
    assert code(post(served, "/branches", 404, name="x", at="nowhere")) == "not_found"


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_log_is_of_the_base_or_of_one_item(served: Any, base: KnowledgeBase) -> None:
    assert [each["id"] for each in get(served, "/shop/commits")["data"]] == [commit.id for commit in base.log()]
    [newest] = get(served, "/shop/commits", limit=1)["data"]
    assert (newest["message"], newest["author"], newest["parents"]) == ("Put items", "ann", [base.resolve("main~1").id])
    of_item = get(served, "/shop/commits", item="rule:utc", at="draft")["data"]
    assert [each["id"] for each in of_item] == [base.resolve("draft").id]
    assert code(get(served, "/shop/commits", 400, limit=0)) == "invalid_body"


@pytest.mark.parametrize("revision", ["main", "main~1", "main^", "start"])
def test_a_commit_is_read_by_any_revision_with_what_it_changed(served: Any, base: KnowledgeBase, revision: str) -> None:
    found = get(served, f"/shop/commits/{revision}")
    commit = base.resolve(revision)
    assert found["id"] == commit.id
    assert get(served, f"/shop/commits/{commit.short_id}") == found
    assert commit.parent is not None
    changed = [change.id for change in base.diff(commit.parent, commit.id).changes]
    assert [change["id"] for change in found["changes"]] == changed


def test_the_first_commit_changed_nothing_and_a_branch_s_name_may_hold_a_slash(
    served: Any, base: KnowledgeBase
) -> None:
    first = base.log()[-1]
    assert get(served, f"/shop/commits/{first.id}")["changes"] == []
    base.branch("people/ada", at=first.id)
    assert get(served, "/shop/commits/people/ada")["id"] == first.id


def test_an_item_is_read_at_any_commit(served: Any, base: KnowledgeBase) -> None:
    put(base, replace(RULE, title="Later"))
    assert get(served, "/shop/items/rule:utc")["title"] == "Later"
    assert get(served, "/shop/items/rule:utc", at="draft") == as_json(RULE)
    assert code(get(served, "/shop/items/rule:utc", 404, at="start")) == "not_found"


def test_items_are_listed_by_kind_and_status_page_by_page(served: Any, base: KnowledgeBase) -> None:
    put(base, *(replace(RULE, id=f"rule:z{number}", status="proposed") for number in range(3)))
    everything = [each["id"] for each in get(served, "/shop/items")["data"]]
    assert everything == sorted(base.snapshot().items)
    assert len(get(served, "/shop/items", at="start")["data"]) < len(everything)
    proposed = {"status": "proposed", "kind": "rule", "limit": 2}
    first = get(served, "/shop/items", **proposed)["data"]
    assert first[0] == {"id": "rule:z0", "kind": "rule", "status": "proposed", "title": "Times"}
    rest = get(served, "/shop/items", after=first[-1]["id"], **proposed)["data"]
    assert [each["id"] for each in first + rest] == ["rule:z0", "rule:z1", "rule:z2"]
    assert get(served, "/shop/items", status="retired")["data"] == []
    assert code(get(served, "/shop/items", 400, kind="table")) == "invalid_body"


def test_a_diff_tells_each_field(served: Any, base: KnowledgeBase) -> None:
    put(base, replace(RULE, title="Later"))
    found = get(served, "/shop/diff", old="main~1")
    [change] = found["changes"]
    assert (change["id"], change["change"]) == ("rule:utc", "changed")
    assert change["fields"] == [{"field": "title", "old": "Times", "new": "Later"}]
    assert (found["old"], found["new"]) == (base.resolve("main~1").id, base.resolve().id)
    assert get(served, "/shop/diff", old="main", new="main")["changes"] == []
    assert code(get(served, "/shop/diff", 400)) == "invalid_body"


def test_blame_names_commit_author_and_person(served: Any, base: KnowledgeBase) -> None:
    put(base, replace(RULE, title="Later"))
    fields = {each["field"]: each for each in get(served, "/shop/items/rule:utc/blame")["data"]}
    assert fields["title"]["commit"] == base.resolve().id
    assert fields["body.text"]["commit"] == base.resolve("draft").id
    missing = get(served, "/shop/items/success:customers_in_germany/blame", 404, field="question")
    assert "no field 'question'" in missing["error"]["message"]
    [answer] = get(served, "/shop/items/success:customers_in_germany/blame", field="body.answer")["data"]
    assert (answer["confirmed_by"], answer["replay"]) == ("ada", None)


def test_verify_names_what_is_broken(served: Any, base: KnowledgeBase) -> None:
    whole = get(served, "/shop/verify")
    assert (whole["object"], whole["clean"], whole["problems"]) == ("kvasir.verification", True, [])
    base.store.write(base.id, {}, [RefMove("heads/lost", None, "0" * 64)])
    broken = get(served, "/shop/verify")
    assert not broken["clean"]
    assert [problem["dangling_ref"] for problem in broken["problems"]] == [True]


# ── changing ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_items_are_committed_by_the_caller(served: Any, base: KnowledgeBase) -> None:
    made = post(
        served,
        "/commits",
        message="Say it twice",
        put=[as_json(replace(RULE, id="rule:new")), {"id": "rule:short", "title": "S", "body": {"text": "s"}}],
        remove=["rule:utc"],
    )
    assert made["id"] == base.resolve().id
    assert (made["object"], made["author"], made["message"]) == ("kvasir.commit", "local", "Say it twice")
    assert (made["quarantined"], made["lifted"], made["warnings"]) == ([], [], [])
    items = base.snapshot().items
    assert (items["rule:new"].title, items["rule:short"].body) == ("Times", Rule("s"))
    assert "rule:utc" not in items
    on_draft = post(served, "/commits", message="There", put=[as_json(COUNT)], branch="draft")
    assert base.resolve("draft").id == on_draft["id"]


def test_a_commit_for_a_head_that_moved_on_is_rebased_or_a_conflict(served: Any, base: KnowledgeBase) -> None:
    known = base.resolve().id
    put(base, replace(RULE, title="Theirs"))
    other = as_json(replace(RULE, id="rule:other"))
    assert post(served, "/commits", message="Other", put=[other], onto=known[:12])["parents"] == [
        base.resolve("main~1").id
    ]
    answer = post(served, "/commits", 409, message="Same", put=[as_json(RULE)], onto=known)
    assert code(answer) == "conflict"
    assert base.item("rule:utc").title == "Theirs"


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"put": []}, 400, "message"),
        ({"message": "m"}, 400, "nothing to commit"),
        ({"message": "m", "put": [as_json(RULE)]}, 400, "nothing to commit"),
        ({"message": "m", "put": [{"id": "rule:x", "title": "X", "body": {"txt": "x"}}]}, 400, "'rule:x', field 'body"),
        ({"message": "m", "put": [as_json(RULE)] * 2}, 400, "'rule:utc' is named twice"),
        ({"message": "m", "put": [as_json(RULE)], "remove": ["rule:utc"]}, 400, "named twice"),
        ({"message": "m", "remove": ["rule:utc"], "branch": "nowhere"}, 404, "branch 'nowhere' not found"),
        ({"message": "m", "remove": ["rule:utc"], "onto": "nowhere"}, 404, "'nowhere'"),
        ({"message": "m", "remove": ["rule:utc", "rule:typo"]}, 404, "item 'rule:typo' not found"),
        ({"message": "m", "remove": ["rule:utc"], "author": "eve"}, 400, "author"),
    ],
)
def test_a_commit_that_cannot_be_made_changes_nothing(
    served: Any, base: KnowledgeBase, body: dict[str, Any], status: int, told: str
) -> None:
    before = base.branches()
    answer = post(served, "/commits", status, **body)
    assert told in answer["error"]["message"]
    assert base.branches() == before


def test_a_lost_column_quarantines_and_a_person_takes_back_what_was_edited(served: Any, base: KnowledgeBase) -> None:
    lost = {"id": "template:stock", "title": "Stock", "lost": [LOST]}
    assert post(served, "/commits", message="Drop it", put=[as_json(SHORT)])["quarantined"] == [lost]
    assert get(served, "/shop/quarantine")["data"] == [lost]
    assert get(served, "/shop/quarantine", at="main~1")["data"] == []
    answer = post(served, "/activate", 409, items=["template:stock"])
    assert (code(answer), base.item("template:stock").status) == ("still_lost", "quarantined")
    edited = replace(base.item("template:stock"), body=Template("How much is there?", "SELECT count(id) FROM stock"))
    post(served, "/commits", message="Edit it", put=[as_json(edited)])
    made = post(served, "/activate", items=["template:stock"], message="Right again")
    assert (made["message"], made["lifted"]) == ("Right again", ["template:stock"])
    assert get(served, "/shop/quarantine")["data"] == []


def test_what_is_in_quarantine_is_not_retrieved_and_answers_nothing(served: Any, base: KnowledgeBase) -> None:
    question = "How many customers do we have in Germany?"
    answered = served.ask(question).json()["kvasir"]
    assert answered["verified_by"] == "success:customers_in_germany"
    customers = base.item("schema:customers")
    assert isinstance(customers.body, Schema)
    kept = tuple(column for column in customers.body.columns if column.name != "country")
    made = post(
        served,
        "/commits",
        message="Drop",
        put=[as_json(replace(customers, body=replace(customers.body, columns=kept)))],
    )
    assert {"success:customers_in_germany", "template:count_by_country"} <= {each["id"] for each in made["quarantined"]}
    served.engine.enqueue("SELECT 1")
    later = served.ask(question).json()["kvasir"]
    assert (later["commit"], later["answered_by"]) == (made["id"], "engine")
    assert {item["id"] for item in later["items"]}.isdisjoint(each["id"] for each in made["quarantined"])
    assert "country = 'DE'" not in str(served.engine.calls[-1].messages)
    post(served, "/revert", commit="main")
    assert served.ask(question).json()["kvasir"]["verified_by"] == "success:customers_in_germany"


def test_items_are_retired_and_activated(served: Any, base: KnowledgeBase) -> None:
    assert post(served, "/retire", items=["rule:utc"])["message"] == "Retire rule:utc"
    assert base.item("rule:utc").status == "retired"
    known = base.resolve().id
    post(served, "/activate", items=["rule:utc"], branch="main", onto=known)
    assert base.item("rule:utc") == RULE
    assert code(post(served, "/retire", 409, items=["rule:utc"], onto=known)) == "conflict"
    assert code(post(served, "/retire", 404, items=["rule:nothing"])) == "not_found"
    assert code(post(served, "/activate", 400, items=["rule:utc"])) == "nothing_to_commit"
    assert code(post(served, "/activate", 400, items=[])) == "invalid_body"


def test_a_revert_takes_back_a_commit_and_is_refused_where_it_was_built_upon(served: Any, base: KnowledgeBase) -> None:
    changed = put(base, replace(RULE, title="Later"))
    made = post(served, "/revert", commit=changed)
    assert made["evidence"] == {"reverts": changed}
    assert base.item("rule:utc") == RULE
    put(base, replace(RULE, title="Latest"))
    assert code(post(served, "/revert", 409, commit=changed)) == "conflict"
    assert code(post(served, "/revert", 404, commit="nowhere")) == "not_found"


def test_a_commit_is_picked_with_the_conflicts_and_resolutions_of_a_merge(served: Any, base: KnowledgeBase) -> None:
    put(base, replace(RULE, title="Draft's"), branch="draft")
    put(base, replace(RULE, title="Main's"))
    answer = post(served, "/cherry-pick", 409, commit="draft")
    assert (code(answer), [each["key"] for each in answer["error"]["conflicts"]]) == (
        "merge_conflicts",
        ["rule:utc:title"],
    )
    made = post(
        served, "/cherry-pick", commit="draft", resolutions={"rule:utc:title": "theirs"}, onto=answer["error"]["ours"]
    )
    assert made["evidence"]["cherry_picks"] == base.resolve("draft").id
    assert base.item("rule:utc").title == "Draft's"


def test_conflicts_between_items_come_as_data_and_are_settled(served: Any, base: KnowledgeBase) -> None:
    ours, theirs = (Item(f"metric:{name}", "Turnover", Metric(name, name)) for name in ("one", "two"))
    put(base, ours, replace(COUNT, title="How much"))
    base.branch("side", at="main~1")
    put(base, theirs, SHORT, branch="side")
    answer = post(served, "/merge", 409, branch="side")
    twice, removed = answer["error"]["conflicts"]
    assert twice == {
        "type": "metric_defined_twice",
        "key": "metric:one/metric:two",
        "item": "metric:one",
        "field": None,
        "other": "metric:two",
        "base": None,
        "ours": as_json(ours),
        "theirs": as_json(theirs),
    }
    assert removed == {
        "type": "schema_removed",
        "key": "template:stock/schema:stock",
        "item": "template:stock",
        "field": None,
        "other": "schema:stock",
        "base": None,
        "lost": [LOST],
        "ours": as_json(replace(COUNT, title="How much")),
        "theirs": as_json(SHORT),
    }
    resolutions = {twice["key"]: "theirs", removed["key"]: "both"}
    merged = post(served, "/merge", 200, branch="side", resolutions=resolutions, onto=answer["error"]["ours"])
    assert [each["id"] for each in merged["quarantined"]] == ["template:stock"]
    assert "metric:one" not in base.snapshot().items


# ── who may ──────────────────────────────────────────────────────────────────────────────────────────────────────

READING = [
    ("GET", "/v1/kb"),
    ("GET", "/v1/kb/{base}/branches"),
    ("GET", "/v1/kb/{base}/tags"),
    ("GET", "/v1/kb/{base}/commits"),
    ("GET", "/v1/kb/{base}/commits/{revision:path}"),
    ("GET", "/v1/kb/{base}/diff"),
    ("GET", "/v1/kb/{base}/items"),
    ("GET", "/v1/kb/{base}/items/{item_id}"),
    ("GET", "/v1/kb/{base}/items/{item_id}/blame"),
    ("GET", "/v1/kb/{base}/quarantine"),
]
CURATING: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/v1/kb/{base}/verify", None),
    ("POST", "/v1/kb/{base}/branches", {"name": "new"}),
    ("DELETE", "/v1/kb/{base}/branches/{name:path}", None),
    ("POST", "/v1/kb/{base}/tags", {"name": "new"}),
    ("DELETE", "/v1/kb/{base}/tags/{name:path}", None),
    ("POST", "/v1/kb/{base}/commits", {"message": "m", "remove": ["rule:utc"]}),
    ("POST", "/v1/kb/{base}/activate", {"items": ["rule:utc"]}),
    ("POST", "/v1/kb/{base}/retire", {"items": ["rule:utc"]}),
    ("POST", "/v1/kb/{base}/revert", {"commit": "main"}),
    ("POST", "/v1/kb/{base}/cherry-pick", {"commit": "main"}),
    ("POST", "/v1/kb/{base}/merge", {"branch": "draft"}),
]
CALLS = [(method, path, None) for method, path in READING] + CURATING
FILLED = {
    "{base}": "shop",
    "{revision:path}": "main",
    "{item_id}": "rule:utc",
    "branches/{name:path}": "branches/draft",
    "tags/{name:path}": "tags/start",
}


def filled(path: str) -> str:
    for part, value in FILLED.items():
        path = path.replace(part, value)
    return path


def call(served: Any, method: str, path: str, body: Any, tenant: str, *roles: str) -> httpx.Response:
    key = served.core.api_keys.create(tenant, "bob", roles)
    query = {"old": "main~1"} if path.endswith("/diff") else None
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.request(method, served.url + filled(path), json=body, params=query, headers=headers, timeout=60)


def test_every_route_of_the_knowledge_base_is_among_those_that_are_tested(served: Any) -> None:
    paths = served.client.get("/openapi.json").json()["paths"]
    found = {(method.upper(), path) for path, calls in paths.items() if path.startswith("/v1/kb") for method in calls}
    assert found == {(method, path.replace(":path", "")) for method, path, _ in CALLS}


def test_who_may_ask_may_read(served: Any, base: KnowledgeBase) -> None:
    for method, path in READING:
        assert call(served, method, path, None, "default", "ask").status_code == 200, path
        assert call(served, method, path, None, "default", "confirm").status_code == 403, path


@pytest.mark.parametrize(("method", "path", "body"), CURATING)
def test_only_a_curator_may_change(served: Any, base: KnowledgeBase, method: str, path: str, body: Any) -> None:
    before = base.branches(), base.tags()
    refused = call(served, method, path, body, "default", "ask", "confirm")
    assert (refused.status_code, code(refused.json())) == (403, "missing_role")
    assert (base.branches(), base.tags()) == before
    allowed = call(served, method, path, body, "default", "curate")
    # The rule is active, and what the branch has is on main: then there is nothing to change.
    assert allowed.status_code in (200, 201) or code(allowed.json()) == "nothing_to_commit"


def test_no_tenant_reaches_anothers_base(served: Any, base: KnowledgeBase) -> None:
    before = base.branches(), base.tags()
    for method, path, body in CALLS:
        answer = call(served, method, path, body, "rival", "admin")
        if path == "/v1/kb":
            assert answer.json()["data"] == []
        else:
            assert (answer.status_code, code(answer.json())) == (404, "not_found"), path
            assert "known" not in answer.text
    assert (base.branches(), base.tags()) == before


def test_with_keys_nobody_is_served_without_one(served: Any, base: KnowledgeBase) -> None:
    served.core.api_keys.create("default", "ann", ("admin",))
    before = base.branches(), base.tags()
    for method, path, body in CALLS:
        assert httpx.request(method, served.url + filled(path), json=body).status_code == 401, path
    assert (base.branches(), base.tags()) == before
