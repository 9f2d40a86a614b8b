"""The command line: one file a command; `app` puts them together."""

from tunesmith.cli.app import main as main
