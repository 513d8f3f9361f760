"""What is done and known of every file: the database, the rows, and questions to them."""
