"""Asks a server the same in several states. `ask.probe` sends, `conversations` makes the requests, and
`annie_eval.gates.server_state` judges.
"""
