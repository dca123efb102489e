"""WrenAI: a compiled MDL (`mdl.json`), a project folder, or its `knowledge` folder.

Format: docs.getwren.ai, "MDL schema reference", and the project layout of schema version 5: `knowledge/rules/*.md`,
`knowledge/sql/*.md` (front matter `nl`, `sql`), other folders of `knowledge/`, and the older `instructions.md` and
`queries.yml`. Models as YAML are not read: `wren context build` compiles them into `target/mdl.json`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from kb.importers.errors import SourceInvalid
from kb.importers.imported import Findings, Imported, Known, question_id, title_of
from kb.importers.place import Place
from kb.importers.record import Record, read_json
from kb.importers.source import files_below, read_text, within
from kb.importers.statement import Statements
from kb.importers.wren_mdl import Mdl, read_mdl
from kb.importers.yaml_file import parse_yaml, read_yaml
from kb.items import Document, Item, Provenance, Rule, Success, item_id

_RULES = "rules"
_TEXTS = ("glossary", "metrics", "caveats")
_FRONT = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#+[ \t]+(.+?)[ \t]*$", re.MULTILINE)


def import_wren(path: Path, known: Known) -> Imported:
    """Schema, relationship, metric, rule and document items; pairs and views are proposed. Raises `SourceInvalid`."""
    reader = _Reader(path, known, Findings(str(path)))
    if path.is_dir():
        reader.folder()
    else:
        reader.mdl_file(path)
    return reader.findings.done("target/mdl.json, knowledge/, queries.yml or instructions.md")


@dataclass(slots=True)
class _Reader:
    path: Path
    known: Known
    findings: Findings
    mdl: Mdl | None = None
    statements: Statements = field(init=False)

    def __post_init__(self) -> None:
        self.statements = Statements.of(self.known, {})

    def folder(self) -> None:
        root = self.path
        mdl = within(root, root / "target" / "mdl.json") or within(root, root / "mdl.json")
        if mdl is not None:
            self.mdl_file(mdl)
        elif (root / "models").is_dir():
            self.findings.warn(f"{root / 'models'}: is not read; run 'wren context build', then import again")
        knowledge = "knowledge/" if (root / "knowledge").is_dir() else ""
        for file in files_below(root, f"{knowledge}{_RULES}", ".md"):
            self._text(file, _RULES)
        for name in _TEXTS:
            for file in files_below(root, f"{knowledge}{name}", ".md"):
                self._text(file, name)
        instructions = within(root, root / "instructions.md")
        if instructions is not None:
            self._text(instructions, _RULES)
        for file in files_below(root, f"{knowledge}sql", ".md"):
            record, notes = _front_matter(file)
            self._pair(record, file, notes)
        queries = within(root, root / "queries.yml")
        if queries is not None:
            for record in read_yaml(queries).records("pairs"):
                self._pair(record, queries, "")

    def mdl_file(self, file: Path) -> None:
        self.mdl = read_mdl(read_json(file), self._provenance(file), self.known, self.findings)
        self.statements = self.mdl.statements

    def _provenance(self, file: Path, evidence: str = "") -> Provenance:
        inner = file.relative_to(self.path).as_posix() if self.path.is_dir() else ""
        name = self.path.resolve().name
        return Provenance(f"wren {name}/{inner}" if inner else f"wren {name}", evidence=evidence)

    def _text(self, file: Path, folder: str) -> None:
        text = read_text(file)
        front = _FRONT.match(text)
        text = (text[front.end() :] if front else text).strip()
        if not text:
            self.findings.warn(f"{file}: is empty; left out")
            return
        heading = _HEADING.search(text)
        title = title_of(heading[1] if heading else file.stem)
        provenance = self._provenance(file)
        if folder == _RULES:
            item = Item(item_id("rule", file.stem), title, Rule(text), provenance=provenance)
        else:
            body = Document(text, source=f"{folder}/{file.name}")
            item = Item(item_id("document", f"{folder}.{file.stem}"), title, body, provenance=provenance)
        self.findings.add(item, Place(str(file), 1))

    def _pair(self, record: Record, file: Path, notes: str) -> None:
        question, sql = record.required("nl"), record.required("sql").removesuffix(";").rstrip()
        answer = (self.mdl.tables.query(sql) if self.mdl else None) or sql
        place = record.place("nl")
        problem = self.statements.unread(answer)
        if problem:
            self.findings.warn(f"{place}: the SQL {problem}")
        item = Item(
            id=question_id("success", question),
            title=title_of(question),
            body=Success(question, answer),
            depends_on=self.statements.reads(answer),
            status="proposed",
            provenance=self._provenance(file, notes),
        )
        self.findings.add(item, place)


def _front_matter(file: Path) -> tuple[Record, str]:
    """The fields above a pair's text, and the text."""
    text = read_text(file).replace("\r\n", "\n")
    match = _FRONT.match(text)
    if match is None:
        raise SourceInvalid(str(file), "fields 'nl' and 'sql' between two '---' lines are expected", line=1)
    return parse_yaml(str(file), match[1], first_line=2), text[match.end() :].strip()
