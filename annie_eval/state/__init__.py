"""Probes of the server's state: the same request is sent in several states of the server and the answers are compared.

`conversations` builds the requests, `ask` sends them, and `annie_eval.gates.server_state` judges the answers.
"""
