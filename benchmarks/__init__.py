"""Benchmarks: what Steelyard can do on this machine, each a table and an object for machines.

Keys end in their unit. Each also measures a floor in the same run, so that a number can be judged
on a machine that is slow or shared. ``setup/`` has what runs beside Steelyard: a mock upstream in
C, what is sent, and the configurations of others.
"""
