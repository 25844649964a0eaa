# SPDX-License-Identifier: LGPL-2.1-or-later
"""unittests.py MODULE PART PARTS: each PARTS-th test of a module, from PART on,
and for each that did not fail what came of it."""

import sys
import unittest


class Result(unittest.TextTestResult):
    def addSuccess(self, test):
        super().addSuccess(test)
        print("ok", test.id())

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print("skipped", test.id(), reason)


def tests_of(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_of(test)
        else:
            yield test


module, part, parts = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
every = unittest.defaultTestLoader.loadTestsFromName("test." + module)
some = unittest.TestSuite(list(tests_of(every))[part::parts])
result = unittest.TextTestRunner(resultclass=Result).run(some)
sys.exit(not result.wasSuccessful())
