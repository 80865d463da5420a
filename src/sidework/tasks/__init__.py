"""Tasks: functions with options, how their arguments are bound, and what a running job can ask."""
