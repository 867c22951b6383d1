"""What people say about data: datasets, records, responses, suggestions and the status that follows them."""
