"""Gradbook: what people say about data and what models learn from it, in one GraphQL server."""
