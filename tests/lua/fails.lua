-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Ends with an error, behind a large string.
local s = ("line\n"):rep(1 << 18)
print(#s)
local ok, err = pcall(function() return s .. nil end)
print(ok, err)
error({ code = 3 })
