"""The command line: one module a command, each a thin shell over the rooms.

Owns: options, tables, progress bars, exit statuses. Does not own: any rule.
A command that can print for a machine takes ``--json``. Faults go to standard error with what to do
next, and exit 1; a wrong call of the command exits 2.
"""
