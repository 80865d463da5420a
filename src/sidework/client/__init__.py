"""What programs touch: the app, and the handles of its jobs."""
