"""Who is there: users, workspaces, memberships, API keys and sessions."""
