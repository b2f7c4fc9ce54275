"""A SQLAlchemy session as a transactional resource, written as a user writes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.orm import Session, SessionTransaction

from demijohn import current_app, resource


def tell_transactions(session: Session, events: Any) -> None:
    """Tell Demijohn what becomes of the session's transactions and savepoints.

    Not by `after_commit`: in that event a session cannot be used yet. At the end of the transaction
    it can, so that a callback may read what was committed.
    """
    committed: set[SessionTransaction] = set()

    def is_own(transaction: SessionTransaction) -> bool:
        # What a flush opens within it is neither a transaction nor a savepoint.
        return transaction.nested or transaction.parent is None

    @event.listens_for(session, "after_transaction_create")
    def created(session: Session, transaction: SessionTransaction) -> None:
        if is_own(transaction):
            events.begun()

    @event.listens_for(session, "after_commit")
    def done(session: Session) -> None:
        transaction = session.get_nested_transaction() or session.get_transaction()
        assert transaction is not None
        committed.add(transaction)

    @event.listens_for(session, "after_transaction_end")
    def ended(session: Session, transaction: SessionTransaction) -> None:
        if not is_own(transaction):
            return
        if transaction in committed:
            committed.remove(transaction)
            events.committed()
        else:
            events.rolled_back()


@resource(
    lifetime="view",
    transaction=tell_transactions,
    dirty=lambda session: session.in_transaction(),
)
def session() -> Iterator[Session]:
    """A session on the application's engine."""
    engine: Engine = current_app.config["ENGINE"]
    with Session(engine) as opened:
        yield opened
