"""``sidework metrics``: what a monitor reads, in the text format of Prometheus."""

from __future__ import annotations

import click

from ..store.protocol import Store
from .choosing import on_store


@click.command(short_help="Print metrics for Prometheus.")
@on_store
def metrics(store: Store) -> None:
    """Print the store's metrics in the text format of Prometheus (extra metrics).

    What they cost has a bound, however many jobs there are.
    """
    from ..contrib.metrics import exposed

    text, _ = exposed(lambda: store)
    click.echo(text, nl=False)
