"""Mutations of accounts."""

import datetime
import enum
from typing import Any

import strawberry

from app.accounts import credentials, users, workspaces
from app.accounts.passwords import hash_password
from app.accounts.tables import Role
from app.accounts.types import ApiKey, User, Workspace
from app.db.unit_of_work import UnitOfWork
from app.errors import GradbookError
from app.graphql.engine import ref, required_viewer
from app.graphql.payloads import UNMENDABLE, Payload, mutate, user_errors
from app.graphql.scalars import decode_id

Info = strawberry.Info[Any, Any]


@strawberry.enum(description="What becomes of a removed user's responses.")
class UserResponses(enum.Enum):
    """KEEP or DELETE."""

    KEEP = strawberry.enum_value("KEEP", description="They stay, and count as before.")
    DELETE = strawberry.enum_value("DELETE", description="They are deleted, and the statuses of their records follow.")


@strawberry.input(description="A new user.")
class CreateUserInput:
    """Input of createUser."""

    username: str = strawberry.field(description="Unique; 1 to 100 printable characters.")
    role: Role = strawberry.field(description="What they may do; not above the viewer's own role.")
    password: str | None = strawberry.field(
        description="For signing in by name; without one only API keys work.", default=None
    )
    workspace_ids: list[strawberry.ID] | None = strawberry.field(
        description="The workspaces they join. An ADMIN who names none means their only one.", default=None
    )


@strawberry.input(description="What is to change of a user; what is left out stays as it is.")
class UpdateUserInput:
    """Input of updateUser."""

    id: strawberry.ID = strawberry.field(description="The user.")
    role: Role | None = strawberry.field(description="What they may do from now on.", default=None)
    password: str | None = strawberry.field(description="A new password; it ends the user's sessions.", default=None)
    username: str | None = strawberry.field(description="A new name; unique.", default=None)


@strawberry.input(description="A user to remove.")
class DeleteUserInput:
    """Input of deleteUser."""

    id: strawberry.ID = strawberry.field(description="The user.")
    responses: UserResponses = strawberry.field(description="What becomes of what they answered.")


@strawberry.input(description="A new API key.")
class CreateApiKeyInput:
    """Input of createApiKey."""

    name: str = strawberry.field(description="What it is for.")
    user_id: strawberry.ID | None = strawberry.field(
        description="Whose key it is; without one the viewer's own.", default=None
    )
    expires_at: datetime.datetime | None = strawberry.field(
        description="When it ends by itself; without one it does not.", default=None
    )


@strawberry.input(description="A key to revoke.")
class RevokeApiKeyInput:
    """Input of revokeApiKey."""

    id: strawberry.ID = strawberry.field(description="The key.")


@strawberry.input(description="A new workspace.")
class CreateWorkspaceInput:
    """Input of createWorkspace."""

    name: str = strawberry.field(description="Unique.")


@strawberry.input(description="A user and a workspace.")
class AddMemberInput:
    """Input of addMember."""

    workspace_id: strawberry.ID = strawberry.field(description="The workspace.")
    user_id: strawberry.ID = strawberry.field(description="Who joins it.")


@strawberry.input(description="A member and their workspace.")
class RemoveMemberInput:
    """Input of removeMember."""

    workspace_id: strawberry.ID = strawberry.field(description="The workspace.")
    user_id: strawberry.ID = strawberry.field(description="Who leaves it; their responses stay.")


@strawberry.type(description="The user, or what was wrong.")
class UserPayload(Payload):
    """Answer of the mutations of users."""

    user: User | None = strawberry.field(description="The user as they are now.", default=None)


@strawberry.type(description="The new key with its secret, or what was wrong.")
class CreateApiKeyPayload(Payload):
    """Answer of createApiKey."""

    api_key: ApiKey | None = strawberry.field(description="The new key.", default=None)
    secret: str | None = strawberry.field(
        description="What to send as `Bearer`. Shown here and never again.", default=None
    )


@strawberry.type(description="The revoked key, or what was wrong.")
class RevokeApiKeyPayload(Payload):
    """Answer of revokeApiKey."""

    api_key: ApiKey | None = strawberry.field(description="The key as it is now.", default=None)


@strawberry.type(description="The workspace, or what was wrong.")
class WorkspacePayload(Payload):
    """Answer of the mutations of workspaces."""

    workspace: Workspace | None = strawberry.field(description="The workspace as it is now.", default=None)


@strawberry.type
class AccountMutations:
    """Root fields of accounts."""

    @strawberry.mutation(description="Make a user. ADMINs make ANNOTATORs in their workspaces; OWNERs make anybody.")
    async def create_user(self, info: Info, input: CreateUserInput) -> UserPayload:
        """See app.accounts.users.create_user."""
        hashed = await _hashed(info, input.password)
        if isinstance(hashed, UserPayload):
            return hashed

        def work(uow: UnitOfWork) -> UserPayload:
            new = users.NewUser(input.username, input.role, hashed, _workspace_ids(input.workspace_ids))
            return UserPayload(user=ref("User", users.create_user(uow, new)))

        return await mutate(info, UserPayload, work)

    @strawberry.mutation(description="Change a user's name, role or password.")
    async def update_user(self, info: Info, input: UpdateUserInput) -> UserPayload:
        """See app.accounts.users.update_user."""
        hashed = await _hashed(info, input.password)
        if isinstance(hashed, UserPayload):
            return hashed

        def work(uow: UnitOfWork) -> UserPayload:
            user_id = decode_id("usr", input.id, "user", ("id",))
            users.update_user(uow, user_id, users.UserChanges(input.username, input.role, hashed))
            return UserPayload(user=ref("User", user_id))

        return await mutate(info, UserPayload, work)

    @strawberry.mutation(description="Remove a user: keys and memberships go, and the responses stay or go as you say.")
    async def delete_user(self, info: Info, input: DeleteUserInput) -> UserPayload:
        """See app.accounts.users.remove_user."""
        services = info.context.services

        def work(uow: UnitOfWork) -> UserPayload:
            user_id = decode_id("usr", input.id, "user", ("id",))
            payload = UserPayload(user=ref("User", user_id))
            # Once removed, an admin sees the user no more: the payload is read before.
            info.context.engine.load(info._raw_info, uow, payload)
            delete = services.delete_responses if input.responses is UserResponses.DELETE else None
            users.remove_user(uow, user_id, delete)
            return payload

        return await mutate(info, UserPayload, work)

    @strawberry.mutation(description="Make an API key. Its secret is in this answer and nowhere else.")
    async def create_api_key(self, info: Info, input: CreateApiKeyInput) -> CreateApiKeyPayload:
        """See app.accounts.credentials.create_key."""

        def work(uow: UnitOfWork) -> CreateApiKeyPayload:
            user_id = None if input.user_id is None else decode_id("usr", input.user_id, "user", ("userId",))
            key_id, secret = credentials.create_key(uow, input.name, user_id, input.expires_at)
            return CreateApiKeyPayload(api_key=ref("ApiKey", key_id), secret=secret)

        return await mutate(info, CreateApiKeyPayload, work)

    @strawberry.mutation(description="Revoke an API key: it opens nothing any more, and sockets that it opened close.")
    async def revoke_api_key(self, info: Info, input: RevokeApiKeyInput) -> RevokeApiKeyPayload:
        """See app.accounts.credentials.revoke_key."""

        def work(uow: UnitOfWork) -> RevokeApiKeyPayload:
            key_id = decode_id("key", input.id, "api key", ("id",))
            credentials.revoke_key(uow, key_id)
            return RevokeApiKeyPayload(api_key=ref("ApiKey", key_id))

        return await mutate(info, RevokeApiKeyPayload, work)

    @strawberry.mutation(description="Make a workspace.")
    async def create_workspace(self, info: Info, input: CreateWorkspaceInput) -> WorkspacePayload:
        """See app.accounts.workspaces.create_workspace."""

        def work(uow: UnitOfWork) -> WorkspacePayload:
            return WorkspacePayload(workspace=ref("Workspace", workspaces.create_workspace(uow, input.name)))

        return await mutate(info, WorkspacePayload, work)

    @strawberry.mutation(description="Let a user into a workspace.")
    async def add_member(self, info: Info, input: AddMemberInput) -> WorkspacePayload:
        """See app.accounts.workspaces.add_member."""
        return await mutate(info, WorkspacePayload, lambda uow: _change_member(uow, input, workspaces.add_member))

    @strawberry.mutation(description="Take a workspace from a user, at once. Their responses stay.")
    async def remove_member(self, info: Info, input: RemoveMemberInput) -> WorkspacePayload:
        """See app.accounts.workspaces.remove_member."""
        return await mutate(info, WorkspacePayload, lambda uow: _change_member(uow, input, workspaces.remove_member))


def _workspace_ids(ids: list[strawberry.ID] | None) -> tuple[int, ...] | None:
    if ids is None:
        return None
    return tuple(decode_id("wsp", text, "workspace", ("workspaceIds", index)) for index, text in enumerate(ids))


def _change_member(uow: UnitOfWork, input: AddMemberInput | RemoveMemberInput, change: Any) -> WorkspacePayload:
    workspace_id = decode_id("wsp", input.workspace_id, "workspace", ("workspaceId",))
    change(uow, workspace_id, decode_id("usr", input.user_id, "user", ("userId",)))
    return WorkspacePayload(workspace=ref("Workspace", workspace_id))


async def _hashed(info: Info, password: str | None) -> str | UserPayload | None:
    """The password's hash; the answer that says what is wrong with the password."""
    required_viewer(info.context)
    if password is None:
        return None
    try:
        return await hash_password(password)
    except GradbookError as error:
        if error.code in UNMENDABLE:
            raise
        return UserPayload(errors=user_errors((error.below("password") if not error.path else error,)))
