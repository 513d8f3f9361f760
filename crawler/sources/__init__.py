"""Where files come from: a module a kind of source."""
