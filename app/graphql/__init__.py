"""The read engine and the GraphQL door. Knows no domain."""
