"""What speaks to people and programs over HTTP: parse, ask, answer. No rules here.

The faces: `v1` is the session API, `gateway` the sockets, `page` the page for people. `a3cp.py` and `assessment.py`
have forms that others have set. `operations.py` is for operators.

What they stand on, a room for each:

- `requests`: what the routes of all faces do with a request.
- `replica`: what one replica has for its routes.
- `middleware`: what every request passes before its route.
- `auth`: who asks.

`app.py` puts them together. Behind the middleware, `quick.py` and `calling.py` are the short way of what is asked most.

`problems.py` has every kind of problem; `describing.py` puts them into the OpenAPI document, `pages.py` explains them
to people. `headers.py` and `texts.py` are for all.
"""
