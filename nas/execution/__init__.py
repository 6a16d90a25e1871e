"""Who runs jobs, and where: worker processes, or streams of a GPU."""
