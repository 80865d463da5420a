"""The store: jobs on a disk, behind one protocol; engines beside each other."""
