"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass

from app.accounts.tables import Role
from app.errors import Code, GradbookError

RANK = {Role.ANNOTATOR: 0, Role.ADMIN: 1, Role.OWNER: 2}


@dataclass(frozen=True, slots=True)
class Viewer:
    """An authenticated caller: the user and the credential that was shown.

    `kind` names the set of scope rules that holds for the viewer (the role); two viewers of one kind differ only in
    bound values, so a compiled read serves both.
    """

    id: int
    username: str
    role: Role
    credential_id: int | None = None

    @property
    def kind(self) -> str:
        """The name of the role."""
        return self.role.name

    def outranks_or_equals(self, role: Role) -> bool:
        """Whether `role` is not above the viewer's own."""
        return RANK[self.role] >= RANK[role]


def signed_in(viewer: Viewer | None) -> Viewer:
    """The caller, if they are known. Raises UNAUTHENTICATED."""
    if viewer is None:
        raise GradbookError(Code.UNAUTHENTICATED, Code.UNAUTHENTICATED.description)
    return viewer
