"""What answers in a benchmark: the model that ships, or any other that LiteLLM reaches."""

from __future__ import annotations

import json
from dataclasses import dataclass

SHIPPED = "embedded/kvasir-mini"


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """`model` is LiteLLM's model string, as in kvasir.toml; `api_base` is where its server listens."""

    model: str = SHIPPED
    api_base: str | None = None

    def toml(self, temperature: float = 0.0) -> str:
        """The lines below `[engines.NAME]`."""
        lines = [f"model = {json.dumps(self.model)}", f"temperature = {json.dumps(temperature)}"]
        if self.api_base is not None:
            lines.append(f"api_base = {json.dumps(self.api_base)}")
        return "\n".join(lines)


SHIPPED_ENGINE = EngineChoice()
