"""Erasing a person: what is held of them is looked for first, then it is removed, and a proof of that stays.

`looking.py` finds what is held and what is in the way, `erasing.py` removes it, `proof.py` writes the proof. The rules
are in docs/adr/0015-erasing-a-person.md.
"""
