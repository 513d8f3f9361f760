"""The web server: the same jobs in a browser. A job is a folder with a `config.yml` and a command that can be copied.

It holds no state of its own: what is done is in the ledger of each output, what runs is asked of the system. It is made
for one person on a machine that others share, and listens on 127.0.0.1 unless it is told otherwise.
"""
