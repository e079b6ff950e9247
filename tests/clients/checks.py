"""Counts checks: each runs by itself, a failed one is told with its traceback, and the count of
failures is the exit code's reason."""

import json
import os
import sys
import traceback


def simulator():
    """What `dvbulk simulate` says when it starts: addresses, users, secrets made for rehearsals."""
    return json.loads(os.environ["DVBULK_SIMULATOR"])


class Checks:
    """Runs functions one after the other; a failure does not stop the next one."""

    def __init__(self):
        self.passed, self.failed = 0, []

    def __call__(self, function):
        name = function.__name__.replace("_", " ")
        try:
            function()
        except Exception:
            self.failed.append(name)
            print(f"FAILED {name}", flush=True)
            traceback.print_exc(file=sys.stdout)
        else:
            self.passed += 1
            print(f"ok {name}", flush=True)
        return function

    def done(self):
        print(f"{self.passed} passed, {len(self.failed)} failed", flush=True)
        sys.exit(1 if self.failed else 0)


def equal(got, wanted):
    """Says both sides when they differ."""
    if got != wanted:
        raise AssertionError(f"got {got!r}, wanted {wanted!r}")


def refused(call, wanted):
    """The error of a call that must fail, after `wanted` has looked at it."""
    try:
        call()
    except Exception as error:
        if not wanted(error):
            raise
        return error
    raise AssertionError("was accepted")
