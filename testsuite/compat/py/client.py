# Evaluates Python, line by line, against python3-sanlock. The answer to a line is its value or its
# exception, then a line ".". Assignments and other statements answer with nothing.
# License: GPL-2.0-or-later.
import errno  # noqa: F401  (for the lines that are evaluated)
import os  # noqa: F401
import sys

import sanlock  # noqa: F401


def shown(value):
    """repr, with dictionaries in the order of their keys"""
    if isinstance(value, dict):
        items = sorted((repr(key), shown(inner)) for key, inner in value.items())
        return "{" + ", ".join(f"{key}: {inner}" for key, inner in items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(shown(inner) for inner in value) + "]"
    return repr(value)


def answer(line, names):
    try:
        try:
            code = compile(line, "line", "eval")
        except SyntaxError:
            exec(line, names)
            return
        value = eval(code, names)
        if value is not None:
            print(shown(value))
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
        if hasattr(error, "errno"):
            print(f"errno {error.errno}")


names = dict(globals())
for line in sys.stdin:
    answer(line.rstrip("\n"), names)
    print(".", flush=True)
