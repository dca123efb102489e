"""Datasources that cannot be opened or that go away."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from gateway.datasource import Datasource, DatasourceConfig
from gateway.errors import (
    DatasourceUnavailable,
)


class TestUnavailable:
    def test_a_missing_file_is_named_and_never_made(self, tmp_path: Path) -> None:
        path = tmp_path / "none.sqlite"
        with Datasource(DatasourceConfig("shop", f"sqlite:///{path}")) as source:
            for call in (source.ping, lambda: source.run("SELECT 1")):
                with pytest.raises(DatasourceUnavailable, match=r"none\.sqlite.*check url under \[datasources\.shop\]"):
                    call()
        assert list(tmp_path.iterdir()) == []

    def test_a_file_that_is_no_database_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.txt"
        path.write_text("no database at all, though long enough to be taken for one" * 20)
        with Datasource(DatasourceConfig("shop", f"sqlite:///{path}")) as source:
            for call in (source.ping, lambda: source.run("SELECT 1")):
                with pytest.raises(DatasourceUnavailable, match=r"notes.txt is not a readable SQLite database"):
                    call()

    def test_a_folder_is_no_database(self, tmp_path: Path) -> None:
        with (
            Datasource(DatasourceConfig("shop", f"sqlite:///{tmp_path}")) as source,
            pytest.raises(DatasourceUnavailable),
        ):
            source.ping()

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
    def test_a_file_that_may_not_be_read_is_named(self, database: Path) -> None:
        database.chmod(0)
        plain = database.replace(database.with_name("plain.sqlite"))
        source = Datasource(DatasourceConfig("shop", f"sqlite:///{plain}"))
        with source, pytest.raises(DatasourceUnavailable, match=r"plain.sqlite"):
            source.ping()

    def test_a_server_that_is_down_is_named_without_the_password(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"postgresql://someone:hunter2@127.0.0.1:{taken.getsockname()[1]}/shop"
            source = Datasource(DatasourceConfig("shop", url))
            with source, pytest.raises(DatasourceUnavailable, match=r"127.0.0.1.*that the server runs") as raised:
                source.ping()
        assert "hunter2" not in str(raised.value)

    def test_a_postgres_option_that_does_not_exist_is_named(self, postgres_orders: str) -> None:
        source = Datasource(DatasourceConfig("shop", f"{postgres_orders}?no_such_option=1"))
        with source, pytest.raises(DatasourceUnavailable, match="no_such_option"):
            source.ping()
