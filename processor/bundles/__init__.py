"""A session as a folder of files that prove themselves.

Writing. `writing.py` writes what a store hands on, `bundle.py` one session. `contents.py` has its files, by `sink.py`:
`page.py` and `table.py` are two of them. `manifest.py` lists them with sizes and hashes. `placing.py` puts a bundle in
its place, whole or not at all. `begun.py` writes the folder of a session that is still open. `index.py` lists the
bundles of a root, for programs, and `overview.py` for people.

Signing. `keys.py`, `signatures.py`.

Sealing: what bundles there were when a day had ended. `seals.py` says what a seal is, `merkle.py` has its tree,
`sealing.py` makes one a day, `sealed.py` proves bundles with them.

Verifying. `verify.py` makes the reports. `check.py` checks the files of a bundle, one after the other by `reading.py`,
by the forms in which `agreement.py` compares them. `again.py` renders the bundle once more, if `renderer.py` is the
same.
"""
