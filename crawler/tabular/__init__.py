"""Tables as files: what a table is (`grid.py`), and a writer a format. None knows the configuration or the ledger."""
