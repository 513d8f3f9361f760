"""Views of ledger and rows: CSV, Parquet, Excel, the report, lists of series and failures."""
