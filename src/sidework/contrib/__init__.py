"""What Sidework does for other projects; each module needs the extra of its name."""
