"""Records in and out of files: JSON Lines, a record with its suggestions and responses on each."""
