"""How a suite writes down an expectation: an entry of `expect`, which holds exactly one."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from evals.case import Equals, Expectation, Judge, Refuses, Regex, Retrieves, Similar, SqlResult


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _criterion(value: Any) -> Any:
    return {"criterion": value} if isinstance(value, str) else value


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as exc:
        problem = f"it is no regular expression of Python: {exc}; correct it, or write what is meant literally with \\"
        raise PydanticCustomError("regex", "{problem}", {"problem": problem}) from exc
    return pattern


def _meant(value: bool) -> bool:
    if not value:
        problem = "it is true or left out; that an answer must not be refused is said by another expectation"
        raise PydanticCustomError("refuses", "{problem}", {"problem": problem})
    return value


Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
Texts = Annotated[list[Text], BeforeValidator(_listed), Field(min_length=1)]
Patterns = Annotated[list[Annotated[Text, AfterValidator(_compiles)]], BeforeValidator(_listed), Field(min_length=1)]


class SqlResultFields(_Table):
    sql: Texts
    ordered: bool = False


class SimilarFields(_Table):
    to: Texts
    at_least: float = Field(gt=0, le=1)


class JudgeFields(_Table):
    criterion: Text
    engine: Text | None = None


class ExpectationEntry(_Table):
    retrieves: Texts | None = None
    sql_result: SqlResultFields | None = None
    equals: Texts | None = None
    regex: Patterns | None = None
    similar: SimilarFields | None = None
    judge: Annotated[JudgeFields, BeforeValidator(_criterion)] | None = None
    refuses: Annotated[bool, AfterValidator(_meant)] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> ExpectationEntry:
        fields = type(self).model_fields
        if sum(getattr(self, name) is not None for name in fields) != 1:
            problem = f"an entry of expect holds exactly one of {', '.join(fields)}; give each its own '- ' entry"
            raise PydanticCustomError("one_expectation", "{problem}", {"problem": problem})
        return self

    def expectation(self) -> Expectation:
        if self.retrieves is not None:
            return Retrieves(tuple(self.retrieves))
        if self.sql_result is not None:
            return SqlResult(tuple(self.sql_result.sql), self.sql_result.ordered)
        if self.equals is not None:
            return Equals(tuple(text.strip() for text in self.equals))
        if self.regex is not None:
            return Regex(tuple(self.regex))
        if self.similar is not None:
            return Similar(tuple(self.similar.to), self.similar.at_least)
        if self.judge is not None:
            return Judge(self.judge.criterion, self.judge.engine)
        assert self.refuses, "an entry holds exactly one expectation"
        return Refuses()


def entry_of(expectation: Expectation) -> dict[str, Any]:
    """The entry that reads as this expectation; a list of one is written as its text."""
    match expectation:
        case Retrieves(patterns):
            return {"retrieves": _short(patterns)}
        case SqlResult(accepted, ordered):
            return {"sql_result": {"sql": _short(accepted), **({"ordered": True} if ordered else {})}}
        case Equals(accepted):
            return {"equals": _short(accepted)}
        case Regex(patterns):
            return {"regex": _short(patterns)}
        case Similar(texts, at_least):
            return {"similar": {"to": _short(texts), "at_least": at_least}}
        case Judge(criterion, engine):
            return {"judge": {"criterion": criterion, "engine": engine} if engine else criterion}
        case Refuses():
            return {"refuses": True}


def _short(texts: tuple[str, ...]) -> str | list[str]:
    return texts[0] if len(texts) == 1 else list(texts)
