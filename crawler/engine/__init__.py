"""The parent process: walk, plan, workers, results, and what earlier runs left."""
