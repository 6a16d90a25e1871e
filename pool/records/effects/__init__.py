"""What each event changes; `pool.records.transition` finds the right one."""
