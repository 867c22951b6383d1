"""The database goes away while a mutation commits."""

from app.accounts.tables import Role
from app.db.database import Database
from app.graphql.schema import Built
from tests.graphql.asking import OWNER, Asker
from tests.graphql.world import World
from tests.support.databases import PostgresDatabases
from tests.support.proxy import way_to

CREATE = 'mutation { createWorkspace(input: {name: "new"}) { workspace { name } errors { code } } }'


async def test_a_commit_that_was_cut_off_is_no_payload_error(
    built: Built, postgresql_databases: PostgresDatabases
) -> None:
    """Payload errors promise that nothing was written; here it was, and sending it again tells."""
    url = await postgresql_databases.create()
    world = World()
    world.add("user_account", id=1, username="owner", role=Role.OWNER)
    async with way_to(url) as way, await Database.open(way.url) as database:
        await database.transact(world.fill)
        asker = Asker(built, database)
        way.breaks = "after"
        assert (await asker.error(OWNER, CREATE))["extensions"]["code"] == "OUTCOME_UNKNOWN"
        again = await asker.data(OWNER, CREATE)
        assert again["createWorkspace"]["errors"] == [{"code": "DUPLICATE"}]
    await postgresql_databases.remove(url)
