"""Values: the words that every room shares, as frozen data and pure functions.

Owns: money, meters, usage records, periods, ids, the clock's Protocol.
Does not own: prices, contracts, accounts, files, sockets. Imports nothing of ours.

Invariants: money is an integer in pico-units of a named currency; an unknown count is None or
absent, never 0; nothing here reads the time, the environment or randomness by itself.
"""
