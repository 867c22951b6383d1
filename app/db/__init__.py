"""Engines, the unit of work, ids and column types. Knows no GraphQL and no domain."""

from app.db.database import Database as Database
from app.db.options import Options as Options
from app.db.unit_of_work import UnitOfWork as UnitOfWork
