"""The command line: its flags, how it is read, what `--help` and `--list` say."""
