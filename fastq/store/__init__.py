"""The data set on disk: its columns, how blocks are written once, and how they are read back."""
