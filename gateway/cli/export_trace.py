"""`kvasir export-trace`: past requests, for a simulation of cache tiers."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gateway.cli.session import Session, command_options
from gateway.errors import NoRequests
from gateway.prefix_hashes import cut_for, prefix_hashes
from gateway.traces import Traces


@click.command("export-trace", short_help="Write past requests as prefix hashes, for 'kvasir backend simulate'.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file to write.")
@click.option("--block-tokens", type=click.IntRange(min=1), default=256, show_default=True, help="Tokens of a block.")
@command_options
def export_trace(session: Session, out: Path, block_tokens: int) -> None:
    """Write past requests as prefix hashes, for 'kvasir backend simulate'.

    Of the tenant's requests that an engine answered; the file tells which began alike, and nothing of what they said.
    """
    with session.database() as database:
        traces = Traces(database)
        cut = cut_for(traces.in_order(session.tenant), block_tokens)
        if cut is None:
            raise NoRequests(session.tenant)
        requests = blocks = 0
        try:
            with out.open("w", encoding="utf-8") as stream:
                for entry in prefix_hashes(traces.in_order(session.tenant), cut):
                    stream.write(json.dumps(entry) + "\n")
                    requests += 1
                    blocks += len(entry["hash_ids"])
        except OSError as exc:
            raise click.FileError(str(out), exc.strerror) from exc
    shown = {"file": str(out), "requests": requests, "blocks": blocks, "block_tokens": block_tokens}
    command = f"kvasir backend simulate {out} --block-tokens {block_tokens}"
    session.show(shown, lambda: click.echo(f"{requests} requests in {out}; now: {command}"))
