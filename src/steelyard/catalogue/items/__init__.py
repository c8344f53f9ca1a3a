"""Items: what a contract charges by period or by event and not by call, one kind of table a file.

Each file has the kind's frozen value and its reader. What happens to an item is a fact
(``values.facts``); what it then costs is worked out by ``rating.periods``.
"""
