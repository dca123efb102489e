"""What the settings of a datasource may say."""

from __future__ import annotations

import pytest

from gateway.datasource import Datasource, DatasourceConfig
from gateway.errors import (
    ConfigError,
)


class TestConfig:
    @pytest.mark.parametrize(
        "url",
        [
            "mysql://someone:hunter2@localhost/shop",
            "postgres://someone:hunter2@localhost/shop",
            "sqlite://",
            "sqlite:///:memory:",
            "sqlite:///shop.sqlite?mode=rwc",
            "postgresql://someone:hunter2@localhost:port/shop",
            "hunter2",
            "",
        ],
    )
    def test_another_url_stops_the_start_and_keeps_its_password(self, url: str) -> None:
        with pytest.raises(ConfigError, match=r"datasources\.shop\.url") as raised:
            Datasource(DatasourceConfig("shop", url))
        assert "hunter2" not in str(raised.value)

    def test_the_url_is_not_in_the_repr(self) -> None:
        assert "hunter2" not in repr(DatasourceConfig("shop", "postgresql://someone:hunter2@localhost/shop"))

    @pytest.mark.parametrize(
        ("setting", "value"), [("max_rows", 0), ("timeout_seconds", 0), ("max_memory_mb", 8), ("max_result_bytes", 0)]
    )
    def test_a_limit_that_cannot_be_met_is_named(self, setting: str, value: int) -> None:
        with pytest.raises(ConfigError, match=rf"datasources\.shop\.{setting}: got {value}"):
            DatasourceConfig("shop", "sqlite:///shop.sqlite", **{setting: value})
