"""What can go wrong in the gateway, as a tree. The core raises these; `http_errors.py` turns them into statuses.

GatewayError
├── ConfigError              kvasir.toml or a KVASIR_* variable is wrong; the start stops
├── Unauthenticated          no key, or one that is not known
├── Forbidden                the key lacks the role
├── BadRequest               the body means nothing we can act on
│   └── ProposalAmbiguous    the beginning of an id that several proposals have
├── NotFound
│   ├── AssistantNotFound
│   ├── RequestNotFound
│   ├── NoRequests           a tenant has asked nothing that an engine answered
│   └── ProposalNotFound
├── VerdictConflict          a second verdict on a request contradicts the first
├── SecondPersonNeeded       who confirmed an answer may not approve it, too
├── ProposalClosed           the proposal landed or was rejected before
├── ProposalNotLanded        there is nothing to revert
├── ProposalNotReady         the proposal has not been replayed yet
├── ProposalChanged          someone else stored the proposal since it was read
├── PromptTooLong            the prompt cannot fit the engine's window
├── EngineNotConfigured      a question needs an engine and the assistant has none
└── DatasourceError
    ├── DatasourceUnavailable    it cannot be opened or read
    ├── StatementRefused         not exactly one read-only statement
    ├── StatementFailed          the database rejected the statement
    └── StatementLimit           rows, time or memory ran out
"""

from __future__ import annotations


class GatewayError(Exception):
    """Base of all the gateway's errors."""


class ConfigError(GatewayError):
    def __init__(self, setting: str, value: object, allowed: str) -> None:
        self.setting, self.value, self.allowed = setting, value, allowed
        super().__init__(f"{setting}: got {value!r}; {allowed}")


class Unauthenticated(GatewayError):
    pass


class Forbidden(GatewayError):
    def __init__(self, role: str, needed_for: str) -> None:
        self.role = role
        super().__init__(
            f"this API key lacks the role '{role}', which {needed_for} needs; "
            f"an admin can make one that has it: kvasir key create --name NAME --role {role}"
        )


class BadRequest(GatewayError):
    def __init__(self, message: str, param: str | None = None) -> None:
        self.param = param
        super().__init__(message)


class NotFound(GatewayError):
    pass


class AssistantNotFound(NotFound):
    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        self.name = name
        listed = ", ".join(known) if known else "none is configured"
        super().__init__(
            f"assistant '{name}' not found (known: {listed}); "
            f'pick one with "model", or add [assistants.{name}] to kvasir.toml'
        )


class RequestNotFound(NotFound):
    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        super().__init__(f"request '{request_id}' not found; its id is in the answer's kvasir.request_id")


class NoRequests(NotFound):
    """`since` is an ISO time, or empty for all that is stored."""

    def __init__(self, tenant: str, since: str = "") -> None:
        self.tenant, self.since = tenant, since
        super().__init__(
            f"no request of tenant '{tenant}'{f' since {since}' if since else ''} that an engine answered is stored; "
            "ask one with 'kvasir ask', or name another tenant with --tenant"
        )


class ProposalNotFound(NotFound):
    def __init__(self, proposal_id: str) -> None:
        self.proposal_id = proposal_id
        super().__init__(
            f"proposal '{proposal_id}' not found; list them with 'kvasir proposal list' or GET /v1/proposals"
        )


class ProposalAmbiguous(BadRequest):
    def __init__(self, beginning: str, found: tuple[str, ...]) -> None:
        self.beginning, self.found = beginning, found
        super().__init__(f"several proposals begin with '{beginning}': {', '.join(found)}; give more of the id")


class VerdictConflict(GatewayError):
    def __init__(self, request_id: str, first: str, second: str) -> None:
        self.request_id, self.first, self.second = request_id, first, second
        now = "another correction" if first == second else second
        super().__init__(
            f"request '{request_id}' was already given the verdict {first}, which {now} contradicts; "
            "nothing was changed. Revert the commit that its proposal landed as, or ask again and judge the new answer"
        )


class SecondPersonNeeded(GatewayError):
    def __init__(self, proposal_id: str, by: str) -> None:
        self.proposal_id, self.by = proposal_id, by
        super().__init__(
            f"proposal '{proposal_id}' was confirmed by '{by}', and its assistant wants a second person to approve; "
            "ask somebody else with the role 'curate', under a name of their own"
        )


class ProposalClosed(GatewayError):
    def __init__(self, proposal_id: str, state: str, wanted: str) -> None:
        self.proposal_id, self.state = proposal_id, state
        super().__init__(
            f"proposal '{proposal_id}' is {state} already and cannot be {wanted}; "
            f"what landed is undone with 'kvasir proposal revert {proposal_id}', "
            "what did not is taught again by asking again and judging the new answer"
        )


class ProposalNotLanded(GatewayError):
    def __init__(self, proposal_id: str, state: str) -> None:
        self.proposal_id, self.state = proposal_id, state
        super().__init__(
            f"proposal '{proposal_id}' is {state}, so there is nothing to revert; "
            f"one that waits is closed with 'kvasir proposal reject {proposal_id}'"
        )


class ProposalNotReady(GatewayError):
    def __init__(self, proposal_id: str, state: str) -> None:
        self.proposal_id, self.state = proposal_id, state
        super().__init__(
            f"proposal '{proposal_id}' is {state}: its replay has not ended; "
            f"see 'kvasir proposal show {proposal_id}' or GET /v1/proposals/{proposal_id}, "
            "and try again when it is waiting"
        )


class ProposalChanged(GatewayError):
    def __init__(self, proposal_id: str) -> None:
        self.proposal_id = proposal_id
        super().__init__(
            f"proposal '{proposal_id}' was changed by someone else meanwhile; "
            f"see 'kvasir proposal show {proposal_id}' or GET /v1/proposals/{proposal_id}, and decide again"
        )


class PromptTooLong(GatewayError):
    def __init__(self, prompt_tokens: int, window_tokens: int, output_tokens: int) -> None:
        self.prompt_tokens, self.window_tokens, self.output_tokens = (
            prompt_tokens,
            window_tokens,
            output_tokens,
        )
        super().__init__(
            f"the prompt has {prompt_tokens} tokens and {output_tokens} are kept for the answer, but the engine's "
            f"window is {window_tokens}; start a new conversation, shorten the message, or lower max_tokens. "
            "Nothing was cut"
        )


class EngineNotConfigured(GatewayError):
    def __init__(self, assistant: str, engine: str | None) -> None:
        self.assistant, self.engine = assistant, engine
        what = f"names the engine '{engine}', which is not configured" if engine else "has no engine"
        super().__init__(
            f"no confirmed answer covers this question, and assistant '{assistant}' {what}. "
            "Add one to kvasir.toml, for example:\n"
            '  [engines.mini]\n  model = "embedded/kvasir-mini"\n'
            f'and set engine = "mini" under [assistants.{assistant}]; docs/engines.md lists the kinds'
        )


class DatasourceError(GatewayError):
    def __init__(self, datasource: str, message: str) -> None:
        self.datasource = datasource
        super().__init__(f"datasource '{datasource}': {message}")


class DatasourceUnavailable(DatasourceError):
    pass


class StatementRefused(DatasourceError):
    pass


class StatementFailed(DatasourceError):
    pass


class StatementLimit(DatasourceError):
    pass
