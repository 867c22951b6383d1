"""Engines, the unit of work, ids and column types. Knows no GraphQL and no domain."""
