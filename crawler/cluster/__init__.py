"""One job in shards: plan, run a shard, merge, submit, look on."""
