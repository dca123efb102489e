"""What happens between the writing of a commit and the moment at which a branch's readers see it.

The contract of who wants a say there; a knowledge base without one moves its branches at once.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from kb.store import BaseId

if TYPE_CHECKING:
    from kb.knowledge_base import KnowledgeBase


class Landing(Protocol):
    """Safe to use from several threads. Whatever it does, a move that fails or a process that dies in between leaves
    the branch where it was, and a commit that nothing names.
    """

    def concerns(self, base: BaseId, branch: str) -> bool:
        """Whether anything is to be done before this branch moves. Quick: asked for each move."""

    def before(self, base: KnowledgeBase, branch: str, head: str, commit: str) -> AbstractContextManager[None]:
        """Entered with the commit written and readable by its id; the branch moves from `head` inside, or `RefMoved`
        goes through it."""
