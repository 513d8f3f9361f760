"""De-identification: one policy over every output. `policy.py` is where it begins; PS3.15 Annex E is its measure."""
